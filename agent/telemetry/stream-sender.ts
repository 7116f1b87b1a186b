/**
 * Sends what is spooled, in order, with a window of batches under way, and goes back to the oldest
 * that was not acknowledged after a reconnect or when no acknowledgement comes (go-back-N). The spool
 * owns the batches; this only knows how far it has sent.
 */
import type { Clock } from '#shared/kernel/clock.js';
import { SingleFlight } from '#shared/platform/single-flight.js';
import type { BatchName, Spool } from '#agent/telemetry/spool.js';

export interface SenderPorts {
  readonly clock: Clock;
  readonly publish: (message: Readonly<Record<string, unknown>>) => Promise<boolean>;
  readonly onError: (error: unknown) => void;
  /** Nothing of more worth waits; then it is woken. Always when absent. */
  readonly mayGo?: () => boolean;
  /** All that there is has been sent. */
  readonly onIdle?: () => void;
}

export interface SenderOptions {
  readonly window: number;
  readonly patienceMs: number;
}

const defaultSenderOptions: SenderOptions = { window: 16, patienceMs: 15_000 };

/** What holds the batches until they are stored elsewhere. */
export type BatchHolder = Pick<Spool, 'size' | 'pending' | 'read' | 'acknowledge'>;

export class StreamSender {
  private readonly flight: SingleFlight;
  private up = false;
  private sentUpTo: BatchName | undefined;
  private inFlight = 0;
  private timer: NodeJS.Timeout | undefined;
  private stopped = false;

  constructor(
    private readonly spool: BatchHolder,
    private readonly ports: SenderPorts,
    private readonly options: SenderOptions = defaultSenderOptions,
  ) {
    this.flight = new SingleFlight(() => this.send(), ports.onError);
  }

  /** All that there is has been sent, or the window is full. */
  get isIdle(): boolean {
    return this.inFlight >= this.options.window || this.spool.pending(this.sentUpTo, 1).length === 0;
  }

  linkChanged(up: boolean): void {
    this.up = up;
    this.goBack();
    if (up) this.wake();
    else clearTimeout(this.timer);
  }

  /** A batch was spooled. */
  wake(): void {
    if (!this.stopped) this.flight.wake();
  }

  async acknowledged(bootId: number, upTo: number): Promise<void> {
    const before = this.spool.size.batches;
    await this.spool.acknowledge(bootId, upTo);
    const stored = before - this.spool.size.batches;
    if (stored <= 0) return;
    this.inFlight = Math.max(0, this.inFlight - stored);
    this.armTimer();
    this.wake();
  }

  async stop(): Promise<void> {
    this.stopped = true;
    clearTimeout(this.timer);
    await this.flight.stop();
  }

  private async send(): Promise<void> {
    const { mayGo, onIdle } = this.ports;
    while (this.up && !this.stopped && this.inFlight < this.options.window && mayGo?.() !== false) {
      const [next] = this.spool.pending(this.sentUpTo, 1);
      if (next === undefined) break;
      const message = await this.spool.read(next);
      if (message === undefined) continue;
      this.sentUpTo = next;
      this.inFlight += 1;
      if (this.inFlight === 1) this.armTimer();
      // Lost with the connection, and sent again by the next.
      if (!(await this.ports.publish(message))) return;
    }
    onIdle?.();
  }

  private armTimer(): void {
    clearTimeout(this.timer);
    if (this.inFlight === 0 || this.stopped) return;
    this.timer = setTimeout(() => {
      this.goBack();
      this.wake();
    }, this.options.patienceMs);
  }

  private goBack(): void {
    this.sentUpTo = undefined;
    this.inFlight = 0;
  }
}
