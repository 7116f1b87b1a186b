/**
 * How long to put off a run so that more rows may join it. What a run costs is learned as `fixed + each *
 * rows`; one row more saves the fixed part of a run of its own, and costs every row that waits the time
 * until it comes. Pure: it is told what happened, and asked.
 */
const forgetting = 0.9;

export class LearnedWait {
  private rows = 0;
  private rowsSquared = 0;
  private ms = 0;
  private rowsMs = 0;
  private weight = 0;
  private gapMs = Infinity;
  private lastArrivalMs = Number.NaN;

  ran(rows: number, ms: number): void {
    this.weight = this.weight * forgetting + 1;
    this.rows = this.rows * forgetting + rows;
    this.rowsSquared = this.rowsSquared * forgetting + rows * rows;
    this.ms = this.ms * forgetting + ms;
    this.rowsMs = this.rowsMs * forgetting + rows * ms;
  }

  arrived(atMs: number): void {
    if (!Number.isNaN(this.lastArrivalMs)) {
      const gap = Math.max(0, atMs - this.lastArrivalMs);
      this.gapMs = Number.isFinite(this.gapMs) ? this.gapMs * forgetting + gap * (1 - forgetting) : gap;
    }
    this.lastArrivalMs = atMs;
  }

  /** What a run costs however few rows it has; 0 as long as runs of one size only were seen. */
  get fixedMs(): number {
    const spread = this.weight * this.rowsSquared - this.rows * this.rows;
    if (!(spread > 1e-9)) return 0;
    const each = (this.weight * this.rowsMs - this.rows * this.ms) / spread;
    return Math.max(0, (this.ms - each * this.rows) / this.weight);
  }

  /**
   * @param waitingRows rows that would wait
   * @param waitedMs how long the oldest has waited
   * @returns milliseconds to wait; 0: run now
   */
  wait(waitingRows: number, waitedMs: number, maxWaitMs: number): number {
    const left = maxWaitMs - waitedMs;
    if (left <= 0 || waitingRows === 0) return 0;
    return this.gapMs * waitingRows < this.fixedMs ? Math.min(left, this.gapMs * 2) : 0;
  }
}
