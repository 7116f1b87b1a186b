/** Events of the device on their way to the spool: gathered for a moment, so that a burst is one batch. */
import { type Clock, toInstant } from '#shared/kernel/clock.js';
import type { DeviceEvent } from '#shared/protocol/stream.js';
import type { Spool } from '#agent/telemetry/spool.js';

const maxEvents = 100;
/** Of details together: a batch stays below what one message may be. */
const maxDetailBytes = 64 * 1024;
const maxMessage = 2048;

export interface EventLogPorts {
  readonly clock: Clock;
  readonly spool: Spool;
  readonly onSpooled: () => void;
  readonly onError: (error: unknown) => void;
}

export class EventLog {
  private waiting: DeviceEvent[] = [];
  private detailBytes = 0;
  private timer: NodeJS.Timeout | undefined;
  private writing: Promise<void> = Promise.resolve();
  private stopped = false;

  constructor(
    private readonly ports: EventLogPorts,
    private readonly gatherMs = 300,
    private readonly retryMs = 10_000,
  ) {}

  raise(event: Omit<DeviceEvent, 'at'>): void {
    const message = event.message.slice(0, maxMessage);
    this.waiting.push({ ...event, message, at: toInstant(this.ports.clock.now()) });
    this.detailBytes += event.details === undefined ? 0 : JSON.stringify(event.details).length;
    if (this.waiting.length >= maxEvents || this.detailBytes >= maxDetailBytes) this.cut();
    else this.timer ??= setTimeout(() => this.cut(), this.gatherMs);
  }

  /** Everything raised so far is on disk when it resolves, or given up for want of room. */
  async stop(): Promise<void> {
    this.stopped = true;
    this.cut();
    await this.writing;
  }

  private cut(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    if (this.waiting.length === 0) return;
    const events = this.waiting;
    this.waiting = [];
    this.detailBytes = 0;
    const { clock, spool, onSpooled, onError } = this.ports;
    this.writing = this.writing
      .then(() => spool.add({ at: toInstant(clock.now()), events }))
      .then(onSpooled, (error: unknown) => {
        onError(error);
        this.putBack(events);
      });
  }

  /** On a full disk the latest stay, and are tried again: with the next event, and after a while. */
  private putBack(events: readonly DeviceEvent[]): void {
    if (this.stopped) return;
    this.waiting = [...events, ...this.waiting].slice(-maxEvents);
    this.timer ??= setTimeout(() => this.cut(), this.retryMs);
  }
}
