/**
 * What one deployment has to tell: what is counted is added up, and becomes batches when it is asked for. A batch is
 * never made anew: it is told as it is until it is acknowledged, and what comes meanwhile is added up behind it. So it
 * holds as much after a day without a control plane as after a minute.
 */
import * as z from 'zod';
import { joinModuleMetrics } from '#shared/protocol/merge-metrics.js';
import { counterSchema } from '#shared/protocol/primitives.js';
import { type ModuleMetrics, type TelemetryBatch, telemetryBatchSchema } from '#shared/protocol/stream.js';

/** As it is kept over an end of the process. */
export const keptStreamSchema = z.object({
  bootId: counterSchema,
  batches: z.array(telemetryBatchSchema),
});
export type KeptStream = z.infer<typeof keptStreamSchema>;

interface Counted {
  readonly module: string;
  readonly metrics: ModuleMetrics;
}

export interface BatchTimes extends Pick<TelemetryBatch, 'at' | 'generation'> {
  /** Monotonic. */
  readonly nowMs: number;
}

/** Images, providers and mirrored images that a deployment can have between two batches, and more than it ever has. */
const maxCounted = 64;
/** Of one module as JSON: beyond it, summaries of tensors are left out, for a message may have 128 KiB. */
const maxMetricsLength = 100 * 1024;

export class ToldStream {
  private counted: Counted[] = [];
  private batches: TelemetryBatch[];
  private sequence: number;

  private constructor(
    readonly bootId: number,
    batches: readonly TelemetryBatch[],
    /** Since when it counts what is not in a batch; monotonic. */
    private sinceMs: number,
  ) {
    this.batches = [...batches];
    this.sequence = batches.at(-1)?.sequence ?? 0;
  }

  static begin(bootId: number, nowMs: number): ToldStream {
    return new ToldStream(bootId, [], nowMs);
  }

  /** Of an earlier process: it counts nothing any more. */
  static of({ bootId, batches }: KeptStream): ToldStream {
    return new ToldStream(bootId, batches, 0);
  }

  get kept(): KeptStream {
    return { bootId: this.bootId, batches: this.batches };
  }

  get isEmpty(): boolean {
    return this.counted.length === 0 && this.batches.length === 0;
  }

  add(module: string, metrics: ModuleMetrics): void {
    for (const [index, one] of this.counted.entries()) {
      const joined = one.module === module ? joinModuleMetrics(one.metrics, metrics) : undefined;
      if (joined === undefined) continue;
      this.counted[index] = { module, metrics: joined };
      return;
    }
    this.counted.push({ module, metrics });
    if (this.counted.length > maxCounted) this.counted.shift();
  }

  /** What is to be stored: what was told before, or else what was counted since. */
  tell(times: BatchTimes): readonly TelemetryBatch[] {
    if (this.batches.length === 0) this.cut(times);
    return this.batches;
  }

  /** What was counted becomes batches behind those there are: each of one version, and small enough for a message. */
  cut({ at, nowMs, generation }: BatchTimes): void {
    const intervalMs = Math.max(0, nowMs - this.sinceMs);
    for (const [index, { module, metrics }] of this.counted.entries()) {
      this.sequence += 1;
      const head = { schema: 1 as const, bootId: this.bootId, sequence: this.sequence, at, generation };
      const modules = { [module]: withinLimit(metrics) };
      this.batches.push({ ...head, intervalMs: index === 0 ? intervalMs : 0, modules });
    }
    this.counted = [];
    this.sinceMs = nowMs;
  }

  acknowledge(upTo: number): void {
    this.batches = this.batches.filter(({ sequence }) => sequence > upTo);
    const [first, ...rest] = this.batches;
    // The store has lost what it had, as a backup that is given back has: it waits for what never comes, unless it is told so.
    if (first && first.sequence > upTo + 1) this.batches = [{ ...first, droppedFrom: upTo + 1 }, ...rest];
  }
}

function withinLimit(metrics: ModuleMetrics): ModuleMetrics {
  if (metrics.tensors === undefined || JSON.stringify(metrics).length <= maxMetricsLength) return metrics;
  const { tensors: _tooMany, ...rest } = metrics;
  return rest;
}
