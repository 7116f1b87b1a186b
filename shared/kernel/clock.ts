/**
 * Time as a port. Decision code receives plain numbers; only effectful code holds a Clock.
 * `now` is wall time and may jump; `monotonic` never goes back within one process.
 */
export interface Clock {
  /** Milliseconds since the Unix epoch, by the machine's wall clock. */
  now(): number;
  /** Milliseconds since an arbitrary origin; never decreases. */
  monotonic(): number;
  /** Resolves after `ms`, or at once (without error) when the signal aborts. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

/** Timers hold 31 bits of milliseconds; what is longer would fire at once. */
const longestTimerMs = 2 ** 31 - 1;

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  sleep: (ms, signal) =>
    new Promise((resolve) => {
      if (signal?.aborted) {
        resolve();
        return;
      }
      const done = (): void => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', done);
        resolve();
      };
      const arm = (left: number): ReturnType<typeof setTimeout> =>
        setTimeout(
          () => {
            if (left > longestTimerMs) timer = arm(left - longestTimerMs);
            else done();
          },
          Math.min(left, longestTimerMs),
        );
      let timer = arm(ms);
      signal?.addEventListener('abort', done, { once: true });
    }),
};

/** An instant on the wire and in SQL: ISO 8601 in UTC with milliseconds. */
export function toInstant(epochMs: number): string {
  return new Date(epochMs).toISOString();
}
