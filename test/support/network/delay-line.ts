/**
 * One direction of a link, shared by all its connections: what is sent comes out in its order, after the
 * link's delay and after the time that its bytes take; nothing comes out while it is not open.
 */
import type { LinkQuality } from './fault-proxy.js';

interface Waiting {
  readonly dueMs: number;
  readonly deliver: () => void;
}

export class DelayLine {
  private readonly waiting: Waiting[] = [];
  private timer: NodeJS.Timeout | undefined;
  private isOpen = true;
  /** When the last byte that was sent has left. */
  private busyUntilMs = 0;
  private lastDueMs = 0;

  constructor(
    public quality: LinkQuality,
    private readonly random: () => number,
    private readonly nowMs: () => number = () => performance.now(),
  ) {}

  get open(): boolean {
    return this.isOpen;
  }

  set open(open: boolean) {
    this.isOpen = open;
    if (open) this.drain();
    else clearTimeout(this.timer);
  }

  send(bytes: number, deliver: () => void): void {
    const { delayMs, jitterMs, bytesPerSecond } = this.quality;
    const now = this.nowMs();
    this.busyUntilMs = Math.max(this.busyUntilMs, now) + (bytes / bytesPerSecond) * 1000;
    const jitter = (this.random() * 2 - 1) * jitterMs;
    // Never before what was sent earlier: TCP would have put it in order.
    this.lastDueMs = Math.max(this.lastDueMs, this.busyUntilMs + Math.max(0, delayMs + jitter));
    this.waiting.push({ dueMs: this.lastDueMs, deliver });
    if (this.isOpen) this.drain();
  }

  stop(): void {
    clearTimeout(this.timer);
    this.waiting.length = 0;
    this.isOpen = false;
  }

  private drain(): void {
    clearTimeout(this.timer);
    for (let next = this.waiting[0]; next !== undefined && this.isOpen; next = this.waiting[0]) {
      const waitMs = next.dueMs - this.nowMs();
      if (waitMs > 0) {
        this.timer = setTimeout(() => this.drain(), waitMs);
        return;
      }
      this.waiting.shift();
      next.deliver();
    }
  }
}
