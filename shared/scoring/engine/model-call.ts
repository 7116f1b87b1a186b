/** One request for one model, as bytes that no face has parsed. */
import type { Body } from '../body-reader.js';
import type { RequestOrigin } from '../traffic/request-origin.js';
import type { BodyForm } from '../worker/worker-protocol.js';

export interface ModelCall {
  readonly form: BodyForm;
  readonly body: Body;
  /** Length of the JSON before binary tensors; absent: all of the body is JSON. */
  readonly jsonLength: number | undefined;
  /** Whether nobody waits for the answer any more; asked before the run. */
  readonly abandoned: () => boolean;
  /** As the protocol has it: 1 is the highest, 0 or absent the default, which is the lowest. */
  readonly priority?: number;
  /** Instant of the monotonic clock after which nobody wants the answer; absent: the module's default. */
  readonly deadlineMs?: number;
  /** Absent: nothing is known of the request but its body. */
  readonly origin?: RequestOrigin;
}
