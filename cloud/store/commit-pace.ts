/**
 * Paces commits of what comes in bits. A commit waits for the disk, whatever is in it: what comes within four times as long
 * as the last one took shares the next, so that a flood spends a fifth of its time on commits, and a lone bit waits a moment.
 */
import { setTimeout as sleep } from 'node:timers/promises';

const pausePerCommit = 4;

export class CommitPace {
  private lastMs = 0;

  constructor(private readonly longestPauseMs: number) {}

  /** Resolves when the next commit is due. */
  async gather(): Promise<void> {
    await sleep(Math.min(this.longestPauseMs, this.lastMs * pausePerCommit));
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
