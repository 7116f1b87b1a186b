/**
 * Takes what devices collected from the broker to the storage, and acknowledges it once it is there. Taken is only what
 * was asked for, of modules that are to collect, and of each hour no more than their rule allows: a device in wrong hands
 * fills its own share. What is not taken for good is acknowledged too; it would come again for ever.
 */
import type { Clock } from '#shared/kernel/clock.js';
import { messageOf } from '#shared/kernel/errors.js';
import type { CollectRule } from '#shared/protocol/collect.js';
import type { Logger } from '#shared/platform/logger.js';
import { SingleFlight } from '#shared/platform/single-flight.js';
import { encodeMessage } from '#shared/protocol/decode.js';
import { buildTopic, channels, type DeviceAddress } from '#shared/protocol/topics.js';
import type { BackgroundTasks } from '#cloud/fleet/background-tasks.js';
import type { Counter } from '#cloud/http/metrics.js';
import type { Broker } from '#cloud/mqtt/broker.js';
import { collectedPath, hourOf } from './collected-path.js';
import { type DataHead, linesOf, readDataBatch } from './data-batch.js';
import type { StorageBatch, StoragePart, WorkspaceStorage } from './workspace-storage.js';

export interface DataIngestOptions {
  readonly storage: Pick<WorkspaceStorage, 'append' | 'upTo' | 'list'>;
  /** What a module of a device is to collect; undefined: nothing. */
  readonly ruleOf: (address: DeviceAddress, module: string) => Promise<CollectRule | undefined>;
  readonly broker: Broker;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly tasks: BackgroundTasks;
  /** By outcome. */
  readonly batches: Counter;
}

interface Waiting {
  readonly address: DeviceAddress;
  readonly payload: Uint8Array;
}

const batchesPerStep = 200;
/** Beyond so many bytes what arrives is dropped: it comes again. */
const maxWaitingBytes = 32 * 1024 * 1024;

export class DataIngest {
  private waiting: Waiting[] = [];
  private waitingBytes = 0;
  private readonly flight: SingleFlight;

  constructor(private readonly options: DataIngestOptions) {
    this.flight = new SingleFlight(
      () => this.drain(),
      (error) =>
        options.logger.error({ reason: messageOf(error) }, 'collected data was not stored; devices send it again'),
    );
  }

  take({ workspace, device }: DeviceAddress, payload: Uint8Array): void {
    if (this.waitingBytes + payload.length > maxWaitingBytes) {
      this.count('overload');
      return;
    }
    this.waitingBytes += payload.length;
    this.waiting.push({ address: { workspace, device }, payload });
    this.flight.wake();
  }

  async idle(): Promise<void> {
    await this.flight.idle();
  }

  private async drain(): Promise<void> {
    while (this.waiting.length > 0) {
      const step = this.waiting.splice(0, batchesPerStep);
      this.waitingBytes -= step.reduce((sum, { payload }) => sum + payload.length, 0);
      await this.store(step);
    }
  }

  private async store(step: readonly Waiting[]): Promise<void> {
    const { storage } = this.options;
    const batches: StorageBatch[] = [];
    const streams = new Map<string, { readonly address: DeviceAddress; readonly bootId: number }>();
    /** By path: what this step adds. */
    const added = new Map<string, number>();
    for (const { address, payload } of step) {
      const read = readDataBatch(payload);
      if (read === undefined) {
        this.count('malformed');
        continue;
      }
      const { head, batch } = read;
      if (batch === undefined) this.count('malformed');
      const parts = batch === undefined ? [] : await this.partsOf(address, batch, added);
      batches.push({ ...batchOf(address, head), parts });
      streams.set(sourceOf(address, head.bootId), { address, bootId: head.bootId });
    }
    for (const outcome of await storage.append(batches)) this.count(outcome);
    for (const [source, { address, bootId }] of streams) {
      this.acknowledge(address, bootId, await storage.upTo(address.workspace, source));
    }
  }

  private async partsOf(
    address: DeviceAddress,
    batch: NonNullable<NonNullable<ReturnType<typeof readDataBatch>>['batch']>,
    added: Map<string, number>,
  ): Promise<StoragePart[]> {
    const { storage, ruleOf, clock } = this.options;
    const { module, collection, at } = batch;
    const rule = await ruleOf(address, module);
    if (rule === undefined || !rule.collections.includes(collection)) {
      this.count('unasked');
      return [];
    }
    const hour = hourOf(Date.parse(at), clock.now());
    const { device } = address;
    const path = collectedPath({ endpoint: module, deployment: device, collection, hour, instance: device });
    const bytes = linesOf(address, batch);
    const [file] = await storage.list(address.workspace, path, 1);
    const before = (file?.bytes ?? 0) + (added.get(path) ?? 0);
    if (before + bytes.length > rule.maxBytes) {
      this.count('full');
      return [];
    }
    added.set(path, (added.get(path) ?? 0) + bytes.length);
    return bytes.length === 0 ? [] : [{ path, hour, bytes }];
  }

  private acknowledge(address: DeviceAddress, bootId: number, upTo: number): void {
    const { broker, tasks } = this.options;
    const topic = buildTopic({ ...address, channel: 'acks' });
    const ack = encodeMessage({ schema: 1, kind: 'data', bootId, upTo });
    tasks.run(`answer on ${topic}`, () => broker.publish(topic, Buffer.from(ack), channels.acks));
  }

  private count(outcome: string): void {
    this.options.batches.add({ outcome });
  }
}

function sourceOf({ device }: DeviceAddress, bootId: number): string {
  return `device/${device}/${String(bootId)}`;
}

function batchOf(address: DeviceAddress, { bootId, sequence, droppedFrom }: DataHead): Omit<StorageBatch, 'parts'> {
  return { workspace: address.workspace, source: sourceOf(address, bootId), sequence, droppedFrom };
}
