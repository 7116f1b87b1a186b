/** What shadows found, for people and for Prometheus. */
import type { FastifyInstance } from 'fastify';
import { AppError } from '#shared/kernel/errors.js';
import { decodeSketch, emptySketch, type EncodedSketch, quantile } from '#shared/protocol/sketch.js';
import { refuseOtherMethods } from '../host/allowed-methods.js';
import type { ScoringHost } from '../host/scoring-host.js';
import type { Shadow } from './shadow.js';

/** `GET /v2/models/{model}/shadow`: since the shadow was set up. */
export function shadowRoutes(app: FastifyInstance, host: ScoringHost): void {
  const url = '/v2/models/:model/shadow';
  app.get(url, (request) => {
    const { model } = request.params as { model: string };
    // Says so where there is no such model.
    host.find(model);
    const shadow = host.traffic.shadow(model);
    if (!shadow) throw new AppError('request.not-found', `model "${model}" has no shadow version`);
    return reportOf(shadow);
  });
  refuseOtherMethods(app, url, ['GET', 'HEAD']);
}

function reportOf(shadow: Shadow): object {
  const { liveLatencyMs, shadowLatencyMs, ...counts } = shadow.snapshot();
  const { version, rate, compare } = shadow.rule;
  return {
    name: shadow.module,
    version: String(version),
    rate,
    compare,
    ...counts,
    agreement: counts.compared === 0 ? null : counts.agreed / counts.compared,
    live_latency_ms: quantilesOf(liveLatencyMs),
    shadow_latency_ms: quantilesOf(shadowLatencyMs),
  };
}

function quantilesOf(encoded: EncodedSketch): object {
  const sketch = decodeSketch(encoded) ?? emptySketch();
  return { count: sketch.count, p50: quantile(sketch, 0.5), p99: quantile(sketch, 0.99), max: sketch.max };
}

export interface Series {
  readonly name: string;
  readonly help: string;
  readonly type: 'counter' | 'gauge';
  readonly samples: readonly { readonly labels: Readonly<Record<string, string>>; readonly value: number }[];
}

/** Without the series that would have no samples. */
export function trafficSeries(host: ScoringHost): Series[] {
  return [...shadowSeries(host), ...captureSeries(host)].filter(({ samples }) => samples.length > 0);
}

function shadowSeries(host: ScoringHost): Series[] {
  const shadows = host.traffic.shadows.map((shadow) => ({
    labels: { model: shadow.module, version: String(shadow.rule.version) },
    stats: shadow.snapshot(),
  }));
  const counter = (name: string, help: string, of: (stats: (typeof shadows)[number]['stats']) => number): Series => ({
    name: `flotilla_shadow_${name}_total`,
    help,
    type: 'counter',
    samples: shadows.map(({ labels, stats }) => ({ labels, value: of(stats) })),
  });
  return [
    counter('agreed', 'Mirrored requests whose answers agreed with the live ones.', ({ agreed }) => agreed),
    counter('disagreed', 'Mirrored requests whose answers did not agree.', ({ disagreed }) => disagreed),
    counter('uncompared', 'Mirrored requests with answers too large to compare.', ({ uncompared }) => uncompared),
    counter('live_errors', 'Requests to be mirrored that the live version failed on.', ({ liveErrors }) => liveErrors),
    counter('errors', 'Mirrored requests that only the shadow failed on.', ({ shadowErrors }) => shadowErrors),
    counter('dropped', 'Requests to be mirrored for which there was no room.', ({ dropped }) => dropped),
    {
      name: 'flotilla_shadow_largest_difference',
      help: 'The largest difference of two floats at the same place of both answers.',
      type: 'gauge',
      samples: shadows.flatMap(({ labels, stats: { largestDifference } }) =>
        largestDifference === null ? [] : [{ labels, value: largestDifference }],
      ),
    },
  ];
}

function captureSeries(host: ScoringHost): Series[] {
  const captures = host.traffic.captures.map(({ module, ...counts }) => ({
    labels: { model: module.name, version: String(module.module.version) },
    ...counts,
  }));
  return [
    {
      name: 'flotilla_capture_events_total',
      help: 'Sampled inputs and outputs handed to be written.',
      type: 'counter',
      samples: captures.map(({ labels, captured }) => ({ labels, value: captured })),
    },
    {
      name: 'flotilla_capture_dropped_total',
      help: 'Sampled inputs and outputs that were not kept: no room, no disk, or not readable.',
      type: 'counter',
      samples: captures.map(({ labels, dropped }) => ({ labels, value: dropped })),
    },
  ];
}
