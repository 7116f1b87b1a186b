import * as z from 'zod';
import { toProblem } from '#shared/kernel/errors.js';
import { storeError } from '#cloud/store/sqlite.js';
import type { Metrics } from '../metrics.js';
import type { Routes } from '../app.js';

/** Something that must work for the control plane to be of use. */
export interface ReadinessCheck {
  readonly name: string;
  /** Throws with the reason when it does not work. */
  check(): Promise<void>;
}

export interface HealthRouteDeps {
  readonly checks: readonly ReadinessCheck[];
  readonly metrics: Metrics;
}

const tags = ['health'];
const checkBody = z.object({ ready: z.boolean(), checks: z.record(z.string(), z.string()) });

export function healthRoutes({ checks, metrics }: HealthRouteDeps): Routes {
  return (app) => {
    app.get(
      '/healthz',
      {
        config: { public: true },
        schema: {
          tags,
          summary: 'The process answers',
          response: { 200: z.object({ status: z.literal('ok') }) },
        },
      },
      async () => ({ status: 'ok' as const }),
    );

    app.get(
      '/readyz',
      {
        config: { public: true },
        schema: {
          tags,
          summary: 'Database, blob store and broker work',
          response: { 200: checkBody, 503: checkBody },
        },
      },
      async (request, reply) => {
        const outcomes = await Promise.all(
          checks.map(async ({ name, check }): Promise<[string, string]> => {
            try {
              await check();
              return [name, 'ok'];
            } catch (error) {
              request.log.warn({ err: error, check: name }, 'not ready');
              return [name, toProblem(storeError(error) ?? error).message];
            }
          }),
        );
        const ready = outcomes.every(([, outcome]) => outcome === 'ok');
        return reply.code(ready ? 200 : 503).send({ ready, checks: Object.fromEntries(outcomes) });
      },
    );

    app.get(
      '/metrics',
      { config: { role: 'reader', installation: true }, schema: { tags, summary: 'Prometheus text' } },
      async (_request, reply) => {
        return reply.type('text/plain; version=0.0.4; charset=utf-8').send(await metrics.render());
      },
    );
  };
}
