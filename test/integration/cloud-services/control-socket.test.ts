import { request } from 'node:http';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type ControlApi, openControlApi } from '#cloud/services/host/control-api.js';
import { maxDocumentBytes } from '#cloud/services/host/control-protocol.js';
import { ReplicaLogs } from '#cloud/services/host/replica-logs.js';
import { ServiceHostClient } from '#cloud/services/host/service-host-client.js';
import { deployment, services } from '#test/support/services/simulated-services.js';
import { temporaryFolder } from '#test/support/temporary-folder.js';

const path = temporaryFolder();

describe('the control socket', () => {
  const applied: unknown[] = [];
  const bugs: unknown[] = [];
  const logs = new ReplicaLogs(() => 0);
  let api: ControlApi;
  let client: ServiceHostClient;

  beforeAll(async () => {
    const status = services(1, {});
    api = await openControlApi(path('c.sock'), {
      host: {
        ...{ logs, plan: { actions: [], waiting: [] } },
        apply: async (desired) => void applied.push(desired),
        trust: async () => ({ refused: [] }),
        telemetry: { telemetry: async () => [] },
        status: () => Promise.reject(new Error(`nobody asks for it here: ${String(status.generation)}`)),
      },
      collected: { list: async () => ({ pieces: [], lost: 0 }), taken: async () => undefined },
      about: () => ({
        ...{ version: '1', pid: 1, startedAt: '2026-01-01T00:00:00.000Z', configuration: '', generation: 0, trust: {} },
      }),
      stop: () => undefined,
      families: () => [],
      onBug: (error) => bugs.push(error),
    });
    client = new ServiceHostClient(() => path('c.sock'));
  });
  afterAll(() => api.close());

  const send = (method: string, where: string, body: Uint8Array): Promise<number> =>
    new Promise((resolve, reject) => {
      const asked = request({ socketPath: path('c.sock'), method, path: where, agent: false }, (answer) => {
        answer.resume();
        resolve(answer.statusCode ?? 0);
      });
      asked.on('error', reject);
      asked.end(body);
    });

  it('answers whatever bytes come with a refusal, applies none of them, and lives', async () => {
    const whole = Buffer.from(JSON.stringify(services(3, { e1: [deployment('blue', 1, 1)] })));
    const damaged = fc
      .tuple(fc.nat(whole.length - 1), fc.constantFrom(...Buffer.from('{}[]",:0a\0\xff', 'latin1')))
      .map(([at, byte]) => Buffer.concat([whole.subarray(0, at), Buffer.of(byte)]));
    const paths = fc.constantFrom(
      '/v1/desired',
      '/v1/trust',
      '/v1/logs',
      '/v1/desired/',
      '/v1/logs?lines=x',
      '//',
      '/%',
    );
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom('PUT', 'GET', 'POST', 'DELETE'),
        paths,
        fc.oneof(damaged, fc.uint8Array({ maxLength: 200 })),
        async (method, where, body) => {
          expect([400, 404]).toContain(await send(method, where, body));
        },
      ),
      { numRuns: 60 },
    );
    expect([applied, bugs]).toEqual([[], []]);
  });

  it('refuses a document that is too large while it comes', async () => {
    await expect(
      client.trust({ schema: 1, workspaces: [{ workspace: 'w'.repeat(maxDocumentBytes), envelopes: [] }] }),
    ).rejects.toMatchObject({ code: expect.stringMatching(/^(request\.too-large|service\.unavailable)$/) as string });
  });

  it('gives the last lines of all replicas of one deployment, in the order in which they were written', async () => {
    for (const [replica, text] of [
      ['r1', 'one'],
      ['r2', 'two'],
      ['r1', 'three'],
    ] as const)
      logs.add('e1/blue', replica, text);
    logs.add('e1/green', 'r3', 'other');
    expect(await client.logs('e1', 'blue', 2)).toEqual([
      '1970-01-01T00:00:00.000Z r2 two',
      '1970-01-01T00:00:00.000Z r1 three',
    ]);
    expect(await client.logs('e1', 'none', 2)).toEqual([]);
  });

  it('tells who nobody answers what is wrong', async () => {
    await expect(new ServiceHostClient(() => path('none.sock')).status()).rejects.toMatchObject({
      code: 'service.unavailable',
    });
    await expect(client.status()).rejects.toMatchObject({ code: 'internal' });
  });
});
