/** Commands on their way: signed by the director, published, and their answers handed to whoever listens. */
import { toInstant, type Clock } from '#shared/kernel/clock.js';
import { AppError } from '#shared/kernel/errors.js';
import { checkMessage, decodeMessage, encodeMessage, maxMessageBytes } from '#shared/protocol/decode.js';
import { type CommandResponse, commandRequestSchema, commandResponseSchema } from '#shared/protocol/commands.js';
import { payloadTypes } from '#shared/protocol/envelope.js';
import { buildTopic, channels, type DeviceAddress } from '#shared/protocol/topics.js';
import type { Broker } from '#cloud/mqtt/broker.js';
import type { Director } from '#cloud/trust/director-keys.js';
import type { Counter } from '#cloud/http/metrics.js';

export interface CommandChannelOptions {
  readonly broker: Broker;
  readonly director: Director;
  readonly clock: Clock;
  readonly ignored: Counter;
}

export interface SentCommand {
  readonly operation: string;
  readonly arguments: Readonly<Record<string, unknown>>;
  /** Epoch milliseconds: after it the device neither starts nor answers. */
  readonly deadlineAt: number;
}

export class CommandChannel {
  /** By topic of the response. */
  private readonly listening = new Map<string, (response: CommandResponse) => void>();

  constructor(private readonly options: CommandChannelOptions) {}

  /** @throws AppError `request.invalid`, `request.too-large` before anything leaves; or what the broker throws */
  async publish(address: DeviceAddress, id: string, command: SentCommand): Promise<void> {
    const payload = this.seal(address, id, command);
    const topic = buildTopic({ ...address, channel: 'commandRequest', id });
    await this.options.broker.publish(topic, payload, channels.commandRequest);
  }

  /** The first answer with that id. @returns the function that ends it */
  listen(address: DeviceAddress, id: string, hear: (response: CommandResponse) => void): () => void {
    const topic = buildTopic({ ...address, channel: 'commandResponse', id });
    this.listening.set(topic, hear);
    return () => this.listening.delete(topic);
  }

  /** A response that nobody waits for, or that is none, is counted and forgotten. */
  receive(address: DeviceAddress, id: string, payload: Buffer): void {
    const topic = buildTopic({ ...address, channel: 'commandResponse', id });
    const hear = this.listening.get(topic);
    const response = hear && decodeMessage(commandResponseSchema, payload);
    if (!hear || !response?.ok || response.value.id !== id) {
      this.options.ignored.add({ reason: hear ? 'malformed' : 'unawaited-response' });
      return;
    }
    this.listening.delete(topic);
    hear(response.value);
  }

  /** @throws AppError `request.invalid`, `request.too-large` */
  seal(address: DeviceAddress, id: string, { operation, arguments: args, deadlineAt }: SentCommand): Buffer {
    const request = checkMessage(commandRequestSchema, {
      ...{ schema: 1, id, ...address },
      ...{ issuedAt: toInstant(this.options.clock.now()), deadline: toInstant(deadlineAt) },
      ...{ operation, arguments: args },
    });
    if (!request.ok) throw new AppError('request.invalid', `${operation}: ${request.error.message}`);
    const envelope = this.options.director.sign(payloadTypes.command, encodeMessage(request.value));
    const payload = Buffer.from(encodeMessage(envelope));
    if (payload.length > maxMessageBytes) {
      throw new AppError(
        'request.too-large',
        `the command would have ${String(payload.length)} bytes signed, at most ${String(maxMessageBytes)} go to a ` +
          `device: send less, or score on the device's own HTTP port`,
      );
    }
    return payload;
  }
}
