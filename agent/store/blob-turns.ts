import type { Digest } from '#shared/protocol/primitives.js';

/** Downloads that need the same blobs take turns on them, in the order they came: a blob has one partial file. */
export class BlobTurns {
  private readonly last = new Map<Digest, Promise<unknown>>();

  /**
   * A place at all of the digests is taken at once, so that no two downloads wait for each other.
   * @param signal ends the waiting; what the task does about it is its own
   */
  run<T>(digests: readonly Digest[], signal: AbortSignal, task: () => Promise<T>): Promise<T> {
    const before = Promise.all(digests.map((digest) => this.last.get(digest) ?? Promise.resolve()));
    const turn = orAborted(before, signal).then(task);
    // Those behind go on after a failure, but not before those in front: the caller of the failed task gets the error.
    const over = turn.catch(() => undefined).then(() => before);
    for (const digest of digests) this.last.set(digest, over);
    void over.then(() => {
      for (const digest of digests) if (this.last.get(digest) === over) this.last.delete(digest);
    });
    return turn;
  }
}

function orAborted(waitedFor: Promise<unknown>, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = (): void => reject(signal.reason as Error);
    if (signal.aborted) return stop();
    signal.addEventListener('abort', stop, { once: true });
    void waitedFor.then(() => {
      signal.removeEventListener('abort', stop);
      resolve();
    });
  });
}
