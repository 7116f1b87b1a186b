/**
 * Whether a replica is asked. Several connections in a row that failed set it aside for a while, which grows each time;
 * then one request tries it, and decides. Pure.
 */

export interface Health {
  /** In a row. */
  readonly failures: number;
  /** How often in a row it was set aside. */
  readonly ejections: number;
  /** Set aside until then, of the monotonic clock; undefined: it is not. */
  readonly untilMs: number | undefined;
  /** One request is trying it. */
  readonly trying: boolean;
}

export const healthy: Health = { failures: 0, ejections: 0, untilMs: undefined, trying: false };

const failuresToEject = 3;
const firstMs = 1000;
const longestMs = 30_000;

export function mayAsk({ untilMs, trying }: Health, nowMs: number): boolean {
  return untilMs === undefined || (nowMs >= untilMs && !trying);
}

/** It is about to be asked. */
export function asked(health: Health): Health {
  return health.untilMs === undefined || health.trying ? health : { ...health, trying: true };
}

export function failed(health: Health, nowMs: number): Health {
  const failures = health.failures + 1;
  const setAside = health.untilMs !== undefined;
  if (!setAside && failures < failuresToEject) return { ...health, failures };
  // Requests that were under way when it was set aside say nothing new.
  if (setAside && !health.trying) return { ...health, failures };
  const forMs = Math.min(longestMs, firstMs * 2 ** health.ejections);
  return { failures, ejections: health.ejections + 1, untilMs: nowMs + forMs, trying: false };
}

/** The trial came to nothing that tells, since the client left. */
export function untried(health: Health): Health {
  return health.trying ? { ...health, trying: false } : health;
}
