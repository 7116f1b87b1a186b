/** What went on in one module's models since it was last taken: where time went, and what tensors were like. */
import { addToSketch, emptySketch, encodeSketch } from '#shared/protocol/sketch.js';
import type { StageLatency, TensorSummaries } from '#shared/protocol/stream.js';
import { encodeSummary, type Summary } from '#shared/protocol/summary.js';
import { mergeSeen, nothingSeen, type SeenTensors } from '../worker/tensor-watch.js';

export interface TakenObservations {
  /** Absent where no model ran. */
  readonly stages?: StageLatency;
  /** Absent where nothing was looked at. */
  readonly tensors?: TensorSummaries;
}

export class Observed {
  private queue = emptySketch();
  private compute = emptySketch();
  private seen = nothingSeen();

  /** One request left the queue. */
  waited(ms: number): void {
    addToSketch(this.queue, ms);
  }

  /** One run was done. */
  ran(ms: number): void {
    addToSketch(this.compute, ms);
  }

  saw(seen: SeenTensors): void {
    mergeSeen(this.seen, seen);
  }

  take(): TakenObservations {
    const { queue, compute, seen } = this;
    this.queue = emptySketch();
    this.compute = emptySketch();
    this.seen = nothingSeen();
    return {
      ...(queue.count + compute.count === 0
        ? {}
        : { stages: { queueMs: encodeSketch(queue), computeMs: encodeSketch(compute) } }),
      ...(seen.samples === 0
        ? {}
        : { tensors: { samples: seen.samples, inputs: encodeAll(seen.inputs), outputs: encodeAll(seen.outputs) } }),
    };
  }
}

function encodeAll(summaries: ReadonlyMap<string, Summary>): TensorSummaries['inputs'] {
  return Object.fromEntries([...summaries].map(([name, summary]) => [name, encodeSummary(summary)]));
}
