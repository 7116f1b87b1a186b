/**
 * What was counted and is not on disk yet. The hosts give each count once, so while the disk is full it
 * waits here, joined with what comes after it: memory grows with versions served, not with time.
 */
import { joinModuleMetrics } from '#shared/protocol/merge-metrics.js';
import type { ModuleMetrics, StreamKind, SystemMetrics } from '#shared/protocol/stream.js';

/** A batch before it has its sequence. */
export interface BatchContent {
  readonly at: string;
  readonly intervalMs: number;
  readonly generation: number;
  readonly modules: Readonly<Record<string, ModuleMetrics>>;
  readonly system?: SystemMetrics;
}

/** Of the modules of one batch, as JSON; the rest of a batch is small, and a message may have 128 KiB. */
export const maxModulesLength = 96 * 1024;

/**
 * One batch for both; undefined when a module is of two versions in them, which no batch can say, or when it would be
 * too large for a message.
 */
export function joinBatches(earlier: BatchContent, later: BatchContent): BatchContent | undefined {
  const modules = new Map(Object.entries(earlier.modules));
  for (const [name, metrics] of Object.entries(later.modules)) {
    const before = modules.get(name);
    const joined = before === undefined ? metrics : joinModuleMetrics(before, metrics);
    if (joined === undefined) return undefined;
    modules.set(name, joined);
  }
  const joined = Object.fromEntries(modules);
  if (modules.size > 1 && JSON.stringify(joined).length > maxModulesLength) return undefined;
  return { ...earlier, ...later, intervalMs: earlier.intervalMs + later.intervalMs, modules: joined };
}

/** A batch that counts nothing, to say that others are gone. */
export function emptyBatch(kind: StreamKind, at: string): Readonly<Record<string, unknown>> {
  return kind === 'events' ? { at, events: [] } : { at, intervalMs: 0, generation: 0, modules: {} };
}
