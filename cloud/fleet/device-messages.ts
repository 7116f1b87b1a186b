/**
 * Everything that devices send, from topic and bytes to whoever handles it. A message of a device that
 * is not enrolled, on a topic that devices do not send on, or that no schema fits, is counted and
 * forgotten; nothing here throws.
 */
import { decodeMessage, encodeMessage, maxMessageBytes } from '#shared/protocol/decode.js';
import { presenceSchema } from '#shared/protocol/presence.js';
import { reportedSchema } from '#shared/protocol/reported.js';
import { trustRequestSchema } from '#shared/protocol/trust.js';
import {
  buildTopic,
  channels,
  clientIdOf,
  type DeviceAddress,
  parseTopic,
  type Topic,
} from '#shared/protocol/topics.js';
import type { Broker } from '#cloud/mqtt/broker.js';
import type { BlockServer } from '#cloud/mqtt/block-server.js';
import type { TelemetryIngest } from '#cloud/telemetry/telemetry-ingest.js';
import type { Counter } from '#cloud/http/metrics.js';
import type { TrustPublishing } from '#cloud/trust/trust-publishing.js';
import type { DataIngest } from '#cloud/storage/data-ingest.js';
import type { BackgroundTasks } from './background-tasks.js';
import type { CommandChannel } from './command-channel.js';
import type { KnownDevices } from './known-devices.js';
import type { Twin } from './twin.js';
import type { TwinIngest } from './twin-ingest.js';

export interface DeviceMessagesOptions {
  readonly broker: Broker;
  readonly known: KnownDevices;
  readonly twin: Twin;
  readonly ingest: TwinIngest;
  readonly telemetry: TelemetryIngest;
  readonly data: Pick<DataIngest, 'take'>;
  readonly commands: Pick<CommandChannel, 'receive'>;
  readonly blocks: BlockServer;
  readonly trust: Pick<TrustPublishing, 'answer'>;
  readonly tasks: BackgroundTasks;
  readonly ignored: Counter;
}

export class DeviceMessages {
  /** What is being answered, and the question that came since: a flood costs two answers. */
  private readonly answering = new Map<string, { again: (() => Promise<void>) | undefined }>();

  constructor(private readonly options: DeviceMessagesOptions) {}

  handle(topicText: string, payload: Buffer): void {
    const topic = parseTopic(topicText);
    if (topic === undefined || channels[topic.channel].from !== 'device') this.ignore('not-a-device-topic');
    else if (!this.options.known.has(topic)) this.ignore('unknown-device');
    else if (payload.length > maxMessageBytes) this.ignore('too-large');
    else this.dispatch(topic, payload);
  }

  private dispatch(topic: Topic, payload: Buffer): void {
    const { ingest, telemetry, commands, blocks } = this.options;
    const address = { workspace: topic.workspace, device: topic.device };
    switch (topic.channel) {
      case 'desiredGet':
        this.answer(address, 'desired/get', () => this.answerDesired(address));
        return;
      case 'trustGet': {
        const request = decodeMessage(trustRequestSchema, payload);
        if (request.ok) this.answer(address, 'trust/get', () => this.answerTrust(address, request.value.after));
        else this.ignore('malformed');
        return;
      }
      case 'reported': {
        const report = decodeMessage(reportedSchema, payload);
        if (report.ok) ingest.take({ kind: 'reported', address, report: report.value }, payload.length);
        else this.ignore('malformed');
        return;
      }
      case 'presence': {
        const presence = decodeMessage(presenceSchema, payload);
        if (presence.ok) ingest.take({ kind: 'presence', address, presence: presence.value }, payload.length);
        else this.ignore('malformed');
        return;
      }
      case 'telemetry':
      case 'events':
        telemetry.take(address, topic.channel, payload);
        return;
      case 'data':
        this.options.data.take(address, payload);
        return;
      case 'commandResponse':
        commands.receive(address, topic.id ?? '', payload);
        return;
      case 'blocksGet':
        blocks.take(address, payload);
        return;
      case 'desired':
      case 'reportedGet':
      case 'acks':
      case 'commandRequest':
      case 'blocksData':
      case 'trustData':
        this.ignore('not-a-device-topic');
    }
  }

  private answer(address: DeviceAddress, what: string, answer: () => Promise<void>): void {
    const key = `${clientIdOf(address)} ${what}`;
    const known = this.answering.get(key);
    if (known) {
      known.again = answer;
      return;
    }
    const turn: { again: (() => Promise<void>) | undefined } = { again: undefined };
    this.answering.set(key, turn);
    this.options.tasks.run(what, async () => {
      try {
        for (let next: typeof turn.again = answer; next !== undefined; next = turn.again) {
          turn.again = undefined;
          await next();
        }
      } finally {
        this.answering.delete(key);
      }
    });
  }

  private async answerTrust(address: DeviceAddress, after: number): Promise<void> {
    const data = await this.options.trust.answer(address, after);
    const topic = buildTopic({ ...address, channel: 'trustData' });
    const { qos, retain } = channels.trustData;
    await this.options.broker.publish(topic, Buffer.from(encodeMessage(data)), { qos, retain });
  }

  /** Not retained: the retained copy is the outbox's alone, so that an answer never puts an older one back. */
  private async answerDesired(address: DeviceAddress): Promise<void> {
    const envelope = await this.options.twin.storedDesired(address);
    if (envelope === undefined) return;
    const topic = buildTopic({ ...address, channel: 'desired' });
    await this.options.broker.publish(topic, Buffer.from(envelope), { qos: channels.desired.qos, retain: false });
  }

  private ignore(reason: string): void {
    this.options.ignored.add({ reason });
  }
}
