/**
 * Brings the outbox to the broker. Invariants: a row goes only after the broker accepted it, so a kill
 * at any instant repeats a message and loses none; of one topic never an older after a newer one.
 */
import type { Clock } from '#shared/kernel/clock.js';
import { messageOf } from '#shared/kernel/errors.js';
import type { Logger } from '#shared/platform/logger.js';
import { SingleFlight } from '#shared/platform/single-flight.js';
import type { Broker } from '#cloud/mqtt/broker.js';
import type { OutboxRepository, OutboxRow } from './outbox-repository.js';

export interface OutboxDrainOptions {
  readonly outbox: OutboxRepository;
  readonly broker: Broker;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Between attempts while the broker is away. */
  readonly retryMs: number;
}

const batchSize = 500;

export class OutboxDrain {
  private readonly flight: SingleFlight;
  private readonly stopped = new AbortController();
  private retry: Promise<void> | undefined;

  constructor(private readonly options: OutboxDrainOptions) {
    this.flight = new SingleFlight(
      () => this.drain(),
      (error) => {
        options.logger.warn({ reason: messageOf(error) }, 'the outbox is not empty yet');
        this.wakeLater();
      },
    );
  }

  /** Called after every commit that wrote a row, and at start. */
  wake(): void {
    this.flight.wake();
  }

  async idle(): Promise<void> {
    await this.flight.idle();
  }

  async stop(): Promise<void> {
    this.stopped.abort();
    await this.flight.stop();
    await this.retry;
  }

  private async drain(): Promise<void> {
    const { outbox, broker } = this.options;
    while (!this.stopped.signal.aborted) {
      if (!broker.isConnected()) {
        this.wakeLater();
        return;
      }
      const rows = await outbox.newestOfTopics(batchSize);
      if (rows.length === 0) return;
      const results = await Promise.allSettled(rows.map((row) => this.publish(row)));
      await outbox.remove(rows.filter((_, index) => results[index]?.status === 'fulfilled'));
      const failure = results.find((result) => result.status === 'rejected');
      if (failure) throw failure.reason;
    }
  }

  private async publish({ topic, payload, qos, retain }: OutboxRow): Promise<void> {
    await this.options.broker.publish(topic, Buffer.from(payload), { qos, retain });
  }

  private wakeLater(): void {
    this.retry ??= this.options.clock.sleep(this.options.retryMs, this.stopped.signal).then(() => {
      this.retry = undefined;
      this.flight.wake();
    });
  }
}
