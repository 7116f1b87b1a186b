/**
 * What was counted and is not on disk yet. The hosts give each count once, so while the disk is full it
 * waits here, joined with what comes after it: memory grows with versions served, not with time.
 */
import { decodeSketch, emptySketch, encodeSketch, mergeSketch } from '#shared/protocol/sketch.js';
import { joinRoutesMetrics } from '#shared/protocol/route-metrics.js';
import type { ModuleMetrics, StreamKind, SystemMetrics } from '#shared/protocol/stream.js';

/** A batch before it has its sequence. */
export interface BatchContent {
  readonly at: string;
  readonly intervalMs: number;
  readonly generation: number;
  readonly modules: Readonly<Record<string, ModuleMetrics>>;
  readonly system?: SystemMetrics;
}

/** One batch for both; undefined when a module is of two versions in them, which no batch can say. */
export function joinBatches(earlier: BatchContent, later: BatchContent): BatchContent | undefined {
  const modules: Record<string, ModuleMetrics> = { ...earlier.modules };
  for (const [name, metrics] of Object.entries(later.modules)) {
    const before = Object.hasOwn(modules, name) ? modules[name] : undefined;
    const joined = before === undefined ? metrics : joinMetrics(before, metrics);
    if (joined === undefined) return undefined;
    modules[name] = joined;
  }
  return { ...earlier, ...later, intervalMs: earlier.intervalMs + later.intervalMs, modules };
}

function joinMetrics(earlier: ModuleMetrics, later: ModuleMetrics): ModuleMetrics | undefined {
  const same =
    earlier.digest === later.digest && earlier.version === later.version && earlier.provider === later.provider;
  if (!same) return undefined;
  const errors = { ...earlier.errors };
  for (const [code, count] of Object.entries(later.errors)) errors[code] = (errors[code] ?? 0) + count;
  const latency = emptySketch();
  for (const { latencyMs } of [earlier, later]) mergeSketch(latency, decodeSketch(latencyMs) ?? emptySketch());
  const routes = joinRoutesMetrics(earlier.routes ?? {}, later.routes ?? {});
  return {
    ...later,
    requests: earlier.requests + later.requests,
    errors,
    latencyMs: encodeSketch(latency),
    ...(Object.keys(routes).length === 0 ? {} : { routes }),
  };
}

/** A batch that counts nothing, to say that others are gone. */
export function emptyBatch(kind: StreamKind, at: string): Readonly<Record<string, unknown>> {
  return kind === 'events' ? { at, events: [] } : { at, intervalMs: 0, generation: 0, modules: {} };
}
