/** What brings data to a route. */
import type { BoundedQueue } from '../bounded-queue.js';
import type { RouteItem } from '../payload.js';

export interface SourcePorts {
  readonly queue: BoundedQueue<RouteItem>;
  /** Something came; counted before it is offered to the queue. */
  readonly onEntered: () => void;
  /** What keeps the source from bringing anything; undefined: nothing does any more. */
  readonly onProblem: (problem: string | undefined) => void;
}

export interface Source {
  /** What keeps it from bringing anything, where it does not tell by itself. */
  problem?(): string | undefined;
  stop(): Promise<void> | void;
}
