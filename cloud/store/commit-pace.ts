/**
 * Paces commits of what comes in bits. A commit waits for the disk, whatever is in it: what comes within four times as long
 * as the last one took shares the next, so that a flood spends a fifth of its time on commits, and a lone bit waits a moment.
 * The database answers within the turn of the event loop: after a full commit, too, connections get as long as it took.
 */
import { setTimeout as sleep } from 'node:timers/promises';

const pausePerCommit = 4;

export class CommitPace {
  private lastMs = 0;

  constructor(private readonly longestPauseMs: number) {}

  /** Resolves when the next commit is due. @param full no more would fit into it */
  async gather(full: boolean): Promise<void> {
    await sleep(Math.min(this.longestPauseMs, full ? this.lastMs : this.lastMs * pausePerCommit));
  }

  async commit<T>(act: () => Promise<T>): Promise<T> {
    const begun = performance.now();
    try {
      return await act();
    } finally {
      this.lastMs = performance.now() - begun;
    }
  }
}
