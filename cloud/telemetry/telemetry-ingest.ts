/**
 * Takes batches from the broker to the store: what arrives while one transaction is written goes into
 * the next one together, and acknowledgements are sent only after the commit. What is not acknowledged
 * stays in the device's spool and comes again.
 */
import { type Clock, toInstant } from '#shared/kernel/clock.js';
import { messageOf } from '#shared/kernel/errors.js';
import type { Logger } from '#shared/platform/logger.js';
import { SingleFlight } from '#shared/platform/single-flight.js';
import { encodeMessage } from '#shared/protocol/decode.js';
import type { StreamKind } from '#shared/protocol/stream.js';
import { buildTopic, channels, type DeviceAddress } from '#shared/protocol/topics.js';
import type { BackgroundTasks } from '#cloud/fleet/background-tasks.js';
import type { Counter } from '#cloud/http/metrics.js';
import type { LiveEvents } from '#cloud/live/live-events.js';
import type { Broker } from '#cloud/mqtt/broker.js';
import { type IngestResult, ingestOutcomes, type ReceivedBatch, type TelemetryPort } from './telemetry-port.js';

export interface TelemetryIngestOptions {
  readonly store: Pick<TelemetryPort, 'ingest'>;
  readonly broker: Broker;
  readonly live: LiveEvents;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly tasks: BackgroundTasks;
  readonly batches: Counter;
  /** Events were stored. */
  readonly onEvents?: () => void;
}

const batchesPerCommit = 2_000;
/** Beyond this, and beyond so many bytes, what arrives is dropped: it comes again. */
const maxWaiting = 20_000;
const maxWaitingBytes = 64 * 1024 * 1024;

export class TelemetryIngest {
  private waiting: ReceivedBatch[] = [];
  private waitingBytes = 0;
  private readonly flight: SingleFlight;

  constructor(private readonly options: TelemetryIngestOptions) {
    this.flight = new SingleFlight(
      () => this.drain(),
      (error) => options.logger.error({ reason: messageOf(error) }, 'telemetry was not stored; devices send it again'),
    );
  }

  take({ workspace, device }: DeviceAddress, kind: StreamKind, payload: Uint8Array): void {
    if (this.waiting.length >= maxWaiting || this.waitingBytes + payload.length > maxWaitingBytes) {
      this.options.batches.add({ outcome: 'overload' });
      return;
    }
    this.waitingBytes += payload.length;
    this.waiting.push({ workspace, device, kind, payload, receivedAt: this.options.clock.now() });
    this.flight.wake();
  }

  async idle(): Promise<void> {
    await this.flight.idle();
  }

  private async drain(): Promise<void> {
    while (this.waiting.length > 0) {
      const batches = this.waiting.splice(0, batchesPerCommit);
      this.waitingBytes -= batches.reduce((sum, { payload }) => sum + payload.length, 0);
      this.follow(await this.options.store.ingest(batches));
    }
  }

  private follow({ acks, events, counts }: IngestResult): void {
    const { broker, live, tasks, onEvents } = this.options;
    for (const outcome of ingestOutcomes) {
      if (counts[outcome] > 0) this.options.batches.add({ outcome }, counts[outcome]);
    }
    for (const { ack, ...address } of acks) {
      const topic = buildTopic({ ...address, channel: 'acks' });
      tasks.run(`answer on ${topic}`, () => broker.publish(topic, Buffer.from(encodeMessage(ack)), channels.acks));
    }
    for (const { workspace, device, event, receivedAt } of events) {
      const data = { device, ...event, receivedAt: toInstant(receivedAt) };
      live.publish({ workspace, type: 'device.event', subject: device, data });
    }
    if (events.length > 0) onEvents?.();
  }
}
