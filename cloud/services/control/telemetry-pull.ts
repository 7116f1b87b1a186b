/**
 * Brings numbers of deployments from the service host to the telemetry store, where they stand beside those of devices. What
 * was stored is acknowledged with the next question; if that never comes, the same comes again, and the store counts it once.
 */
import type { Clock } from '#shared/kernel/clock.js';
import { AppError } from '#shared/kernel/errors.js';
import type { Logger } from '#shared/platform/logger.js';
import { encodeMessage } from '#shared/protocol/decode.js';
import type { ReceivedBatch, TelemetryPort } from '#cloud/telemetry/telemetry-port.js';
import type { Acknowledged, TelemetryTeller, ToldBatch } from '../services-telemetry.js';

export interface TelemetryPullOptions {
  /** The service host that runs, if one does. */
  readonly running: () => Promise<TelemetryTeller | undefined>;
  readonly store: Pick<TelemetryPort, 'ingest'>;
  readonly clock: Clock;
  readonly logger: Logger;
}

export class TelemetryPull {
  private acknowledged: readonly Acknowledged[] = [];
  private underWay: Promise<void> | undefined;

  constructor(private readonly options: TelemetryPullOptions) {}

  /** What was counted until now is stored when it resolves; left to the next run where the service host does not answer. */
  run(): Promise<void> {
    // Who asks while it is asked gets the same answer: two at once would acknowledge past each other.
    this.underWay ??= this.pull().finally(() => {
      this.underWay = undefined;
    });
    return this.underWay;
  }

  private async pull(): Promise<void> {
    const { running, store, logger } = this.options;
    try {
      const host = await running();
      if (host === undefined) return;
      const told = await host.telemetry(this.acknowledged);
      this.acknowledged = [];
      if (told.length === 0) return;
      const { acks } = await store.ingest(told.map((one) => this.received(one)));
      this.acknowledged = acks.map(({ workspace, device, ack: { bootId, upTo } }) => {
        return { workspace, source: device, bootId, upTo };
      });
    } catch (error) {
      if (!(error instanceof AppError)) throw error;
      logger.debug({ reason: error.message }, 'numbers of deployments were not taken; they come again');
    }
  }

  private received({ workspace, source, batch }: ToldBatch): ReceivedBatch {
    const payload = Buffer.from(encodeMessage(batch));
    return { workspace, device: source, kind: 'telemetry', receivedAt: this.options.clock.now(), payload };
  }
}
