/** When a device asks for its next certificate. Pure; the times are milliseconds, by the clocks that are named. */
export interface RenewalView {
  /** Of the certificate: since the epoch. */
  readonly notBefore: number;
  readonly notAfter: number;
  /** From 0 to 1, drawn once: a fleet that enrolled together does not renew together. */
  readonly jitter: number;
  /** Since the epoch: trusted time, or the wall clock where it is later. Being early costs one request. */
  readonly now: number;
  /** How long there was no connection; 0 while there is one. */
  readonly disconnectedMs: number;
  /** Since the last try of this process, by the monotonic clock; undefined: there was none. */
  readonly sinceTryMs: number | undefined;
  /** Its authority is one that is being replaced. */
  readonly outdated: boolean;
  readonly lastTry: 'renewed' | 'failed' | undefined;
}

/** Tries follow each other no faster than this. */
export const retryMs = 3_600_000;
/** A broker that does not let us in may not know our certificate, as after a restored backup. */
export const strangerMs = 600_000;

export function isRenewalDue(view: RenewalView): boolean {
  const { notBefore, notAfter, jitter, now, disconnectedMs, sinceTryMs, outdated, lastTry } = view;
  const lifeMs = notAfter - notBefore;
  if (sinceTryMs !== undefined) {
    // A wall clock years ahead finds every certificate at its end.
    const pauseMs = lastTry === 'renewed' ? Math.max(retryMs, lifeMs / 3) : retryMs * (1 + jitter);
    if (sinceTryMs < pauseMs) return false;
  }
  return outdated || now >= notBefore + lifeMs * (2 / 3 + jitter / 20) || disconnectedMs >= strangerMs * (1 + jitter);
}
