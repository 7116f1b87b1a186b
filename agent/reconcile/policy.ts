/** The figures by which plans are made. */
import type { BackoffPolicy } from '#shared/kernel/backoff.js';
import type { RestartPolicy } from '#shared/protocol/desired.js';

export interface Policy {
  /** Pause before a failed version is tried again. */
  readonly retry: BackoffPolicy;
  /** How often to look whether there is room again. */
  readonly diskRetryMs: number;
  readonly maxFetches: number;
  /** A candidate host that has not loaded its models by then is given up. */
  readonly prepareTimeoutMs: number;
  readonly proveTimeoutMs: number;
  /** What is proved stays loaded when its maintenance window opens so soon. */
  readonly windowNearMs: number;
  /** A restarted host that has not loaded by then is looked at again. */
  readonly startTimeoutMs: number;
  /** How long a module waits for those that it starts after; then it starts without them. */
  readonly startAfterMs: number;
  /** How long a replaced host may take over what it has. */
  readonly drainMs: number;
  /** How often what is on probation is looked at. */
  readonly probationLookMs: number;
  /** A shadow that ends more often than this is refused. */
  readonly shadowRestart: RestartPolicy;
  /** For the scoring host while no module says otherwise. */
  readonly hostRestart: RestartPolicy;
}

export const defaultPolicy: Policy = {
  retry: { baseMs: 2_000, maxMs: 300_000 },
  diskRetryMs: 30_000,
  maxFetches: 2,
  prepareTimeoutMs: 120_000,
  proveTimeoutMs: 120_000,
  windowNearMs: 120_000,
  startTimeoutMs: 120_000,
  startAfterMs: 120_000,
  drainMs: 30_000,
  probationLookMs: 1_000,
  shadowRestart: { restart: 'always', maxRestarts: 3, windowSeconds: 3600 },
  hostRestart: { restart: 'always', maxRestarts: 20, windowSeconds: 600 },
};
