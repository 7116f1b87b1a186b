/** The front as the service host uses it: it is told what there is, and tells how it fares. */
import type { Family } from '#shared/platform/exposition.js';
import type { FrontTable } from '../front/front-table.js';
import type { MirrorDrop, MirroredPair } from '../front/mirror.js';
import type { DeploymentImageNumbers } from '../front/routing-table.js';
import type { DeploymentNumbers } from '../services-status.js';

export interface FrontPort {
  /** From the next request on. */
  apply(table: FrontTable): void;
  /** Of an endpoint's id and the name of its deployment. */
  numbers(endpoint: string, deployment: string): DeploymentNumbers;
  /** Requests under way in a replica. */
  outstandingOf(replica: string): number;
  /** For Prometheus. */
  families(): Family[];
  /** A request waits for a first replica of a deployment that has none. */
  onNeed(callback: (endpoint: string, deployment: string) => void): void;
  /** A replica does not answer as it should. */
  onSick(callback: (replica: string, why: string) => void): void;
  /** Of requests that are over, since they were last taken, by the image that answered or was to. */
  takeNumbers(): DeploymentImageNumbers[];
  /** A copy of a request has been answered, or has failed. */
  onMirrored(callback: (pair: MirroredPair) => void): void;
  onMirrorDropped(callback: (drop: MirrorDrop) => void): void;
  /** Accepts nothing new, and answers what is under way for at most this long. */
  close(drainMs: number): Promise<void>;
}
