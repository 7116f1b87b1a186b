/** Something that runs groups of calls for models: a worker thread, or this thread itself. */
import type { GroupResult } from '../worker/answer-group.js';
import type { BodyRequest, ModelIdentity } from '../worker/worker-protocol.js';

export interface Group {
  readonly model: string;
  readonly identity: ModelIdentity;
  readonly requests: readonly BodyRequest[];
}

export interface Runner {
  /** Groups under way. */
  readonly busy: number;
  /** Groups that it takes at once: one that runs, and one at hand so that it need not wait for us. */
  readonly limit: number;
  /** Since when the oldest group is under way, by the monotonic clock; undefined when idle. */
  readonly busySinceMs: number | undefined;
  /** Never rejects: what goes wrong with a call is its answer. */
  run(group: Group): Promise<GroupResult>;
}
