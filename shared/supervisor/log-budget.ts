/**
 * How much of what a process writes is kept: so many lines and bytes a second, with some in hand for a
 * burst. What is beyond is counted and dropped. Pure; times are monotonic milliseconds.
 */
export interface LogRate {
  readonly linesPerSecond: number;
  readonly bytesPerSecond: number;
  /** As many seconds' worth may come at once. */
  readonly burstSeconds: number;
}

export const usualLogRate: LogRate = { linesPerSecond: 100, bytesPerSecond: 64 * 1024, burstSeconds: 10 };

export interface Dropped {
  readonly lines: number;
  readonly bytes: number;
}

export class LogBudget {
  private lines: number;
  private bytes: number;
  private at: number;
  private lost = { lines: 0, bytes: 0 };

  constructor(
    private readonly rate: LogRate,
    nowMs: number,
  ) {
    this.at = nowMs;
    this.lines = rate.linesPerSecond * rate.burstSeconds;
    this.bytes = rate.bytesPerSecond * rate.burstSeconds;
  }

  /** Whether a line is kept. Once it is over, nothing is until a second's worth has gathered again. */
  take(bytes: number, nowMs: number): boolean {
    this.refill(nowMs);
    const { linesPerSecond, bytesPerSecond } = this.rate;
    const recovering = this.lost.lines > 0 && (this.lines < linesPerSecond || this.bytes < bytesPerSecond);
    if (recovering || this.lines < 1 || this.bytes < bytes) {
      this.lost = { lines: this.lost.lines + 1, bytes: this.lost.bytes + bytes };
      return false;
    }
    this.lines -= 1;
    this.bytes -= bytes;
    return true;
  }

  /** What was dropped since the last time that it was asked; undefined: nothing. */
  takeDropped(): Dropped | undefined {
    const { lost } = this;
    this.lost = { lines: 0, bytes: 0 };
    return lost.lines === 0 ? undefined : lost;
  }

  private refill(nowMs: number): void {
    const { linesPerSecond, bytesPerSecond, burstSeconds } = this.rate;
    const seconds = Math.max(0, nowMs - this.at) / 1000;
    this.at = Math.max(this.at, nowMs);
    this.lines = Math.min(linesPerSecond * burstSeconds, this.lines + seconds * linesPerSecond);
    this.bytes = Math.min(bytesPerSecond * burstSeconds, this.bytes + seconds * bytesPerSecond);
  }
}
