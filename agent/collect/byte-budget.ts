/** So many bytes a day, spread over it, with a burst of an hour's share. */
const dayMs = 86_400_000;

export class ByteBudget {
  private left: number;
  private atMs: number;

  /** @param leastBurst a message must be possible, however small the budget */
  constructor(
    private readonly bytesPerDay: number,
    private readonly leastBurst: number,
    private readonly monotonicMs: () => number,
  ) {
    this.left = this.burst;
    this.atMs = monotonicMs();
  }

  /** What was spent beyond it is waited for. */
  get isOpen(): boolean {
    this.refill();
    return this.left > 0;
  }

  spend(bytes: number): void {
    this.refill();
    this.left -= bytes;
  }

  private get burst(): number {
    return Math.max(this.leastBurst, this.bytesPerDay / 24);
  }

  private refill(): void {
    const now = this.monotonicMs();
    this.left = Math.min(this.burst, this.left + ((now - this.atMs) / dayMs) * this.bytesPerDay);
    this.atMs = now;
  }
}
