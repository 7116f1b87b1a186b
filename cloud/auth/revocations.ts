/** Tells what is open under a token that it no longer is allowed: event streams outlive the request that was judged. */
import type { Principal } from './principal.js';

/** Timers hold 31 bits of milliseconds; what ends later is judged again by then. */
const longestTimerMs = 2 ** 31 - 1;

export class Revocations {
  private readonly watchers = new Map<string, Set<() => void>>();

  /** Everything that is open under this token ends now. */
  revoke(id: string): void {
    for (const end of [...(this.watchers.get(id) ?? [])]) end();
  }

  /**
   * @param end called once, at the revocation or when the token expires
   * @returns the function that stops watching
   */
  watch({ id, expiresAtMs }: Principal, nowMs: number, end: () => void): () => void {
    const watchers = this.watchers.get(id) ?? new Set();
    const stop = (): void => {
      clearTimeout(timer);
      watchers.delete(once);
      if (watchers.size === 0) this.watchers.delete(id);
    };
    const once = (): void => {
      stop();
      end();
    };
    const timer =
      expiresAtMs === undefined
        ? undefined
        : setTimeout(once, Math.min(Math.max(0, expiresAtMs - nowMs), longestTimerMs));
    this.watchers.set(id, watchers.add(once));
    return stop;
  }
}
