/**
 * Looks when it is woken, a moment after news, and when something is due; one look at a time. Who wakes it says nothing:
 * what there is to do the look finds by itself, so that a wake that is lost or comes twice changes nothing.
 */
import type { Clock } from '#shared/kernel/clock.js';
import { SingleFlight } from './single-flight.js';

export interface LookoutOptions {
  /** @returns when to look again at the latest, in epoch milliseconds; undefined: only when woken */
  readonly look: () => Promise<number | undefined>;
  /** Gets what a look threw; another one follows soon. */
  readonly onError: (error: unknown) => void;
  readonly clock: Clock;
  /** Between a look and one that was due already. */
  readonly leastMs: number;
  /** Nothing is slept to for longer. */
  readonly mostMs: number;
}

/** After a look that failed. */
const againMs = 1_000;

export class Lookout {
  private readonly flight: SingleFlight;
  private readonly stopping = new AbortController();
  /** Aborted once a look should come to its end. */
  readonly stopped: AbortSignal = this.stopping.signal;
  private sleeping = new AbortController();
  private gathering = false;

  constructor(private readonly options: LookoutOptions) {
    this.flight = new SingleFlight(
      () => this.run(),
      (error) => {
        options.onError(error);
        this.sleepUntil(options.clock.now() + againMs);
      },
    );
  }

  wake(): void {
    this.flight.wake();
  }

  /** Once for all news of that time. */
  wakeIn(ms: number): void {
    if (this.gathering) return;
    this.gathering = true;
    void this.options.clock.sleep(ms, this.stopped).then(() => {
      this.gathering = false;
      this.wake();
    });
  }

  /** Resolves when no look is under way and none waits; one that sleeps does not count. */
  async idle(): Promise<void> {
    await this.flight.idle();
  }

  /** No further look begins; resolves when the one under way has ended. */
  async stop(): Promise<void> {
    this.stopping.abort();
    this.sleeping.abort();
    await this.flight.stop();
  }

  private async run(): Promise<void> {
    this.sleeping.abort();
    const dueAt = await this.options.look();
    if (dueAt !== undefined) this.sleepUntil(dueAt);
  }

  private sleepUntil(dueAt: number): void {
    const { clock, leastMs, mostMs } = this.options;
    if (this.stopped.aborted) return;
    this.sleeping = new AbortController();
    const { signal } = this.sleeping;
    void clock.sleep(Math.min(mostMs, Math.max(leastMs, dueAt - clock.now())), signal).then(() => {
      if (!signal.aborted) this.wake();
    });
  }
}
