/**
 * Takes what devices say of themselves, reports and presence, into the database: in order, many in one
 * transaction, and only then acknowledges. A report whose commit failed stays with its device, which
 * sends it again.
 */
import { toInstant, type Clock } from '#shared/kernel/clock.js';
import { messageOf } from '#shared/kernel/errors.js';
import type { Logger } from '#shared/platform/logger.js';
import { SingleFlight } from '#shared/platform/single-flight.js';
import { encodeMessage } from '#shared/protocol/decode.js';
import type { Presence } from '#shared/protocol/presence.js';
import { type Reported, reportedStateSchema } from '#shared/protocol/reported.js';
import { buildTopic, channels, type Channel, type DeviceAddress } from '#shared/protocol/topics.js';
import type { Broker } from '#cloud/mqtt/broker.js';
import type { LiveEvents } from '#cloud/live/live-events.js';
import type { Counter } from '#cloud/http/metrics.js';
import { CommitPace } from '#cloud/store/commit-pace.js';
import type { BackgroundTasks } from './background-tasks.js';
import type { Database, DeviceRepository } from './device-repository.js';
import { judgeReported, overtakenAt } from './reported-judgement.js';

type Said =
  | { readonly kind: 'reported'; readonly address: DeviceAddress; readonly report: Reported }
  | { readonly kind: 'presence'; readonly address: DeviceAddress; readonly presence: Presence };

/** What follows from a commit. */
interface Effect {
  readonly address: DeviceAddress;
  readonly reply?: { readonly channel: Extract<Channel, 'acks' | 'reportedGet'>; readonly message: unknown };
  readonly changed: boolean;
  /** See {@link overtakenAt}. */
  readonly overtakenAt?: number | undefined;
  /** Serial of the certificate that a device came with. */
  readonly certificate?: string | undefined;
}

export interface TwinIngestOptions {
  readonly db: Database;
  readonly devices: DeviceRepository;
  readonly broker: Broker;
  readonly live: LiveEvents;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly tasks: BackgroundTasks;
  readonly ignored: Counter;
  /** The database is behind this device: its desired state must be issued again, above. */
  readonly onOvertaken: (address: DeviceAddress, generation: number) => Promise<void>;
  /** A device says that it came with this certificate. */
  readonly onCertificateUsed: (address: DeviceAddress, serial: string) => Promise<void>;
}

const batchSize = 256;
const longestGatherMs = 200;
/** Beyond this, and beyond so many bytes, a flood is dropped: reports come again. */
const maxWaiting = 50_000;
const maxWaitingBytes = 64 * 1024 * 1024;

export class TwinIngest {
  private waiting: { readonly said: Said; readonly bytes: number }[] = [];
  private waitingBytes = 0;
  private readonly flight: SingleFlight;
  private readonly pace = new CommitPace(longestGatherMs);

  constructor(private readonly options: TwinIngestOptions) {
    this.flight = new SingleFlight(
      () => this.drain(),
      (error) => options.logger.error({ err: error }, 'ingest failed'),
    );
  }

  /** @param bytes size of the message that said it */
  take(said: Said, bytes: number): void {
    if (this.waiting.length >= maxWaiting || this.waitingBytes + bytes > maxWaitingBytes) {
      this.options.ignored.add({ reason: 'overload' });
      return;
    }
    this.waitingBytes += bytes;
    this.waiting.push({ said, bytes });
    this.flight.wake();
  }

  async idle(): Promise<void> {
    await this.flight.idle();
  }

  private async drain(): Promise<void> {
    while (this.waiting.length > 0) {
      await this.pace.gather(this.waiting.length >= batchSize);
      const taken = this.waiting.splice(0, batchSize);
      const batch = taken.map(({ said }) => said);
      let effects: Effect[];
      try {
        effects = await this.pace.commit(() => this.store(batch));
      } catch (error) {
        // One bad row must not cost the others: each for itself.
        this.options.logger.warn({ reason: messageOf(error) }, 'a batch of reports was not stored; trying one by one');
        effects = await this.storeEach(batch);
      }
      this.waitingBytes -= taken.reduce((sum, { bytes }) => sum + bytes, 0);
      for (const effect of effects) this.follow(effect);
    }
  }

  private async storeEach(batch: readonly Said[]): Promise<Effect[]> {
    const effects: Effect[] = [];
    for (const said of batch) {
      try {
        effects.push(...(await this.store([said])));
      } catch (error) {
        this.options.logger.error({ device: said.address.device, reason: messageOf(error) }, `${said.kind} not stored`);
      }
    }
    return effects;
  }

  private async store(batch: readonly Said[]): Promise<Effect[]> {
    return this.options.db.transaction().execute(async (transaction) => {
      const devices = this.options.devices.within(transaction);
      const effects: Effect[] = [];
      for (const said of batch) {
        const effect =
          said.kind === 'reported'
            ? await this.storeReport(devices, said.address, said.report)
            : await this.storePresence(devices, said.address, said.presence);
        if (effect) effects.push(effect);
      }
      return effects;
    });
  }

  private async storeReport(
    devices: DeviceRepository,
    address: DeviceAddress,
    report: Reported,
  ): Promise<Effect | undefined> {
    const device = await devices.find(address);
    if (device === undefined || device.retiredAt !== null) return undefined;
    const stored = { bootId: device.reportedBootId, sequence: device.reportedSequence };
    const before = reportedStateSchema.parse(JSON.parse(device.reportedJson));
    const judgement = judgeReported(report, { ...stored, state: before });
    switch (judgement.kind) {
      case 'store':
        await devices.storeReport(
          address,
          { before, after: judgement.state },
          {
            reportedBootId: report.bootId,
            reportedSequence: report.sequence,
            reportedAt: toInstant(this.options.clock.now()),
            // A restored backup may be behind the device: what is issued next must be above what it has.
            desiredGeneration: Math.max(device.desiredGeneration, judgement.state.generation),
          },
        );
        return {
          address,
          reply: ackOf(report.bootId, report.sequence),
          changed: true,
          overtakenAt: overtakenAt(judgement.state, device.desiredGeneration),
        };
      case 'duplicate':
        return { address, reply: ackOf(stored.bootId, stored.sequence), changed: false };
      case 'gap':
        return { address, reply: { channel: 'reportedGet', message: { schema: 1 } }, changed: false };
      case 'stale':
        this.options.ignored.add({ reason: 'stale-report' });
        return undefined;
      case 'refuse':
        this.options.ignored.add({ reason: 'bad-report' });
        this.options.logger.warn({ device: address.device, reason: judgement.reason }, 'report refused');
        return undefined;
    }
  }

  private async storePresence(
    devices: DeviceRepository,
    address: DeviceAddress,
    presence: Presence,
  ): Promise<Effect | undefined> {
    const device = await devices.find(address);
    // The will of a connection from before the device's restart says nothing about the present one.
    if (device === undefined || device.retiredAt !== null || presence.bootId < device.presenceBootId) return undefined;
    await devices.update(address, {
      online: presence.online ? 1 : 0,
      presenceAt: toInstant(this.options.clock.now()),
      presenceBootId: presence.bootId,
    });
    return {
      address,
      changed: (device.online === 1) !== presence.online,
      ...(presence.online ? { certificate: presence.certificate } : {}),
    };
  }

  private follow({ address, reply, changed, overtakenAt: generation, certificate }: Effect): void {
    if (certificate !== undefined) {
      this.options.tasks.run(`end older certificates of ${address.device}`, () =>
        this.options.onCertificateUsed(address, certificate),
      );
    }
    if (generation !== undefined) {
      this.options.logger.warn(
        { ...address },
        'the device is ahead of the database; its desired state is issued again',
      );
      this.options.tasks.run(`issue desired state again to ${address.device}`, () =>
        this.options.onOvertaken(address, generation),
      );
    }
    if (changed) {
      this.options.live.publish({
        workspace: address.workspace,
        type: 'device.changed',
        subject: address.device,
        data: { device: address.device },
      });
    }
    if (!reply) return;
    const topic = buildTopic({ ...address, channel: reply.channel });
    const payload = Buffer.from(encodeMessage(reply.message));
    this.options.tasks.run(`answer on ${topic}`, () =>
      this.options.broker.publish(topic, payload, channels[reply.channel]),
    );
  }
}

function ackOf(bootId: number, upTo: number): NonNullable<Effect['reply']> {
  return { channel: 'acks', message: { schema: 1, kind: 'reported', bootId, upTo } };
}
