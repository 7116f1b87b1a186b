/** One model's way through the engine: what waits for it, where it runs, what it may cost. */
import type { ScoringOptions } from '#shared/package/scoring-options.js';
import { elementBytes, type ModelSignature } from '../codec/tensor.js';
import type { ModelIdentity, ModelTraits } from '../worker/worker-protocol.js';
import { CallQueue } from './call-queue.js';
import type { Share } from './fair-share.js';
import { LearnedWait } from './learned-wait.js';
import type { ModelCall } from './model-call.js';
import type { Observed } from './observed.js';
import type { Runner } from './runner.js';
import type { ModelStatistics, RunTimes } from './statistics.js';

export interface LaneConfig {
  readonly model: string;
  readonly identity: ModelIdentity;
  readonly signature: ModelSignature;
  readonly traits: ModelTraits;
  readonly options: ScoringOptions;
  /** Worker threads, shared with the other models of the module. */
  readonly runners: readonly Runner[];
  /** For small bodies, where the model was found to be tiny when it was loaded. */
  readonly inline: Runner | undefined;
  /** Opens one later, where requests show that it is; absent where it never may run on this thread. */
  readonly openInline?: () => Promise<Runner | undefined>;
  readonly statistics: ModelStatistics;
  readonly observed: Observed;
}

/** A larger body is parsed by a worker, however tiny the model. */
const maxInlineBytes = 16 * 1024;
/** A run below this costs less than the way to another thread and back. */
export const tinyRunMs = 0.1;
/** A call that takes longer on this thread, all in all, does not belong there. */
const maxInlineCallMs = 0.5;
/** In a row: one that the system set aside for a moment says nothing about the model. */
const enoughSlowGroups = 16;
const enoughQuickRuns = 32;
/** The loop is given back at least so often. */
const maxInlineMs = 2;

export class Lane {
  /** For the workers. */
  readonly queue: CallQueue;
  /** For this thread. */
  readonly inlineQueue: CallQueue;
  readonly wait = new LearnedWait();
  inlineScheduled = false;
  waitTimer: NodeJS.Timeout | undefined;
  /** Of one group, in milliseconds; learned. */
  expectedMs: number;
  closed = false;
  /** Where small bodies run on this thread; what requests show may end it, or begin it. */
  inline: Runner | undefined;
  private quickRuns = 0;
  private slowInRow = 0;
  /** Groups of this model that run. */
  groups = 0;
  idle: (() => void) | undefined;
  private readonly bytesPerRow: number | undefined;

  constructor(
    readonly config: LaneConfig,
    readonly share: Share,
  ) {
    this.queue = new CallQueue(config.options.queue);
    this.inlineQueue = new CallQueue(config.options.queue);
    this.inline = config.inline;
    this.expectedMs = config.traits.runMs ?? 1;
    this.bytesPerRow = bytesPerRow(config.signature);
  }

  get waiting(): number {
    return this.queue.length + this.inlineQueue.length;
  }

  get isIdle(): boolean {
    return this.waiting === 0 && this.groups === 0;
  }

  runsInline(call: ModelCall): boolean {
    return this.inline !== undefined && call.body.length <= maxInlineBytes;
  }

  /**
   * What made-up inputs told may be wrong: real ones may be far larger, or the only ones that run. A model
   * that holds up this thread leaves it; one that would not comes to it.
   *
   * @param where the runs were
   * @param callMs what each call took
   */
  judge(where: Runner, callMs: number, runs: readonly RunTimes[]): void {
    if (where === this.inline) {
      this.slowInRow = callMs > maxInlineCallMs ? this.slowInRow + 1 : 0;
      if (this.slowInRow === enoughSlowGroups) this.inline = undefined;
      return;
    }
    const { openInline } = this.config;
    if (this.quickRuns > enoughQuickRuns || openInline === undefined || this.config.traits.runMs !== undefined) return;
    // Between threads the same run takes longer than one after another on one.
    this.quickRuns += runs.filter(({ rows, computeInferNs }) => computeInferNs < 2 * tinyRunMs * 1e6 * rows).length;
    if (this.quickRuns > enoughQuickRuns) {
      void openInline().then((runner) => {
        this.inline = runner;
      });
    }
  }

  /** Calls that one group may have. A model that is not batched gains nothing from more than one. */
  get maxCalls(): number {
    return this.config.traits.maxBatchRows > 0 ? this.config.traits.maxBatchRows : 1;
  }

  get maxRows(): number {
    return Math.max(1, this.config.traits.maxBatchRows);
  }

  /** Calls that may run one after another on this thread before it is given back. */
  get maxInlineCalls(): number {
    const { maxBatchRows, runMs } = this.config.traits;
    return maxBatchRows > 0 ? maxBatchRows : Math.max(1, Math.floor(maxInlineMs / (runMs ?? maxInlineMs)));
  }

  /**
   * As the length of the body tells, without parsing it: exact for binary tensors; for JSON a number takes
   * about eight bytes.
   */
  rowsOf(length: number, jsonLength: number | undefined): number {
    if (this.bytesPerRow === undefined || this.bytesPerRow === 0) return 1;
    const rows = jsonLength === undefined ? length / (2 * this.bytesPerRow) : (length - jsonLength) / this.bytesPerRow;
    return Math.max(1, Math.floor(rows));
  }
}

/** Of all inputs as binary tensors; undefined where more than the first dimension is free. */
function bytesPerRow({ inputs }: ModelSignature): number | undefined {
  let bytes = 0;
  for (const { datatype, shape } of inputs) {
    if (datatype === 'BYTES' || typeof shape[0] !== 'string') return undefined;
    let elements = 1;
    for (const dimension of shape.slice(1)) {
      if (typeof dimension === 'string') return undefined;
      elements *= dimension;
    }
    bytes += elements * elementBytes(datatype);
  }
  return bytes;
}
