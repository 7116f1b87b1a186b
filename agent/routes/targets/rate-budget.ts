/** So many a minute, of which a minute's worth may come at once. Pure but for its own numbers. */
export class RateBudget {
  private left: number;

  constructor(
    private readonly perMinute: number,
    private atMs: number,
  ) {
    this.left = perMinute;
  }

  /** @param nowMs monotonic. @returns whether one more may go */
  take(nowMs: number): boolean {
    const minutes = Math.max(0, nowMs - this.atMs) / 60_000;
    this.atMs = nowMs;
    this.left = Math.min(this.perMinute, this.left + minutes * this.perMinute);
    if (this.left < 1) return false;
    this.left -= 1;
    return true;
  }
}
