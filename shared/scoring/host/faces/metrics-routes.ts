/**
 * `GET /metrics`. The names of the protocol's own server break the naming rules that `promtool check
 * metrics` knows; `?names=flotilla` leaves them out, `?names=triton` ours.
 */
import type { FastifyInstance } from 'fastify';
import { AppError } from '#shared/kernel/errors.js';
import { expositionType, type Family, writeExposition } from '#shared/platform/exposition.js';
import { refuseOtherMethods } from '../allowed-methods.js';
import { trafficSeries } from '../../traffic/shadow-report.js';
import type { ScoringHost } from '../scoring-host.js';
import { type ModelReading, ownFamilies } from './metrics-families.js';
import { tritonFamilies } from './metrics-triton.js';

export function metricsRoutes(app: FastifyInstance, host: ScoringHost): void {
  app.get('/metrics', (request, reply) => {
    const names = (request.query as Record<string, unknown>)['names'] ?? 'all';
    if (names !== 'all' && names !== 'flotilla' && names !== 'triton') {
      throw new AppError('request.invalid', 'names must be all, flotilla or triton');
    }
    const readings = readModels(host);
    const families = [
      ...(names === 'triton' ? [] : [...ownFamilies(readings), ...trafficSeries(host), residentMemory()]),
      ...(names === 'flotilla' ? [] : tritonFamilies(readings)),
    ];
    return reply.type(expositionType).send(writeExposition(families));
  });
  refuseOtherMethods(app, '/metrics', ['GET', 'HEAD']);
}

function readModels(host: ScoringHost): ModelReading[] {
  return host.all.map((loaded) => ({
    model: loaded.name,
    version: String(loaded.module.version),
    provider: loaded.provider,
    pending: loaded.pending,
    errors: loaded.counts.errorsSinceLoad,
    statistics: loaded.statistics.snapshot(),
  }));
}

function residentMemory(): Family {
  return {
    name: 'process_resident_memory_bytes',
    help: 'Memory of the scoring host, its workers included.',
    type: 'gauge',
    samples: [{ value: process.memoryUsage.rss() }],
  };
}
