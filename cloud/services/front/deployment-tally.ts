/** What the front counts of one deployment. Latencies are kept by slices of time, so that those of the last minute are known. */
import type { AppError } from '#shared/kernel/errors.js';
import { addToSketch, emptySketch, mergeSketch, quantile, type Sketch } from '#shared/protocol/sketch.js';
import type { DeploymentNumbers } from '../services-status.js';
import { ImageTally } from './image-tally.js';

const sliceMs = 10_000;
const slices = 6;

/** What became of copies that the deployment got of another's requests. */
export type MirrorOutcome = 'answered' | 'failed' | 'dropped';

export class DeploymentTally {
  readonly images = new ImageTally();
  private requests = 0;
  private errors = 0;
  private rejected = 0;
  readonly mirrored: Record<MirrorOutcome, number> = { answered: 0, failed: 0, dropped: 0 };
  private readonly recent: { readonly slice: number; readonly sketch: Sketch }[] = [];
  /** Of slices that are over. */
  private readonly before = emptySketch();

  begun(): void {
    this.requests += 1;
  }

  /** By a replica. @param nowMs of the monotonic clock */
  answered(fine: boolean, latencyMs: number, nowMs: number): void {
    if (!fine) this.errors += 1;
    addToSketch(this.slice(nowMs), latencyMs);
  }

  /** Without an answer of a replica. */
  failed(): void {
    this.errors += 1;
  }

  refused({ code }: AppError): void {
    if (code === 'score.overloaded') this.rejected += 1;
    else this.errors += 1;
  }

  /** Before it was let in. */
  turnedAway(error: AppError): void {
    this.begun();
    this.refused(error);
  }

  /** @param outstanding waiting and under way */
  numbers(nowMs: number, outstanding: number): DeploymentNumbers {
    const { requests, errors, rejected } = this;
    const minute = emptySketch();
    const oldest = Math.floor(nowMs / sliceMs) - slices;
    for (const { slice, sketch } of this.recent) if (slice > oldest) mergeSketch(minute, sketch);
    const p50Ms = quantile(minute, 0.5);
    const p99Ms = quantile(minute, 0.99);
    return {
      ...{ requests, errors, rejected, outstanding },
      ...(p50Ms === null ? {} : { p50Ms }),
      ...(p99Ms === null ? {} : { p99Ms }),
    };
  }

  /** Of all answers so far. */
  latencies(): Sketch {
    const all = emptySketch();
    mergeSketch(all, this.before);
    for (const { sketch } of this.recent) mergeSketch(all, sketch);
    return all;
  }

  private slice(nowMs: number): Sketch {
    const slice = Math.floor(nowMs / sliceMs);
    const last = this.recent.at(-1);
    if (last?.slice === slice) return last.sketch;
    const sketch = emptySketch();
    this.recent.push({ slice, sketch });
    const over = this.recent.length > slices ? this.recent.shift() : undefined;
    if (over) mergeSketch(this.before, over.sketch);
    return sketch;
  }
}
