/**
 * Direct commands: signed by the director, published, and answered once by the device until their
 * deadline. They are not kept: who asked waits, and asks again when nothing came.
 */
import { toInstant, type Clock } from '#shared/kernel/clock.js';
import { AppError, isErrorCode } from '#shared/kernel/errors.js';
import type { NewId } from '#shared/kernel/ids.js';
import { checkMessage, decodeMessage, encodeMessage, maxMessageBytes } from '#shared/protocol/decode.js';
import { type CommandResponse, commandRequestSchema, commandResponseSchema } from '#shared/protocol/commands.js';
import { payloadTypes } from '#shared/protocol/envelope.js';
import { buildTopic, channels, type DeviceAddress } from '#shared/protocol/topics.js';
import type { Broker } from '#cloud/mqtt/broker.js';
import type { Director } from '#cloud/trust/director-keys.js';
import type { Counter } from '#cloud/http/metrics.js';
import type { DeviceRepository } from './device-repository.js';
import { deviceNotFound, deviceRetired } from './device-errors.js';

export interface CommandServiceOptions {
  readonly devices: DeviceRepository;
  readonly broker: Broker;
  readonly director: Director;
  readonly clock: Clock;
  readonly newId: NewId;
  readonly ignored: Counter;
}

export interface CommandOrder {
  readonly operation: string;
  readonly arguments: Readonly<Record<string, unknown>>;
  readonly timeoutMs: number;
}

export class CommandService {
  /** By topic of the response. */
  private readonly waiting = new Map<string, (response: CommandResponse) => void>();

  constructor(private readonly options: CommandServiceOptions) {}

  /** @throws AppError what the device answered, `device.timeout`, `device.offline`, `request.invalid` */
  async run(address: DeviceAddress, order: CommandOrder): Promise<{ id: string; result: unknown }> {
    const { devices, broker, clock, newId } = this.options;
    const device = await devices.find(address);
    if (device === undefined) throw deviceNotFound(address);
    if (device.retiredAt !== null) throw deviceRetired(address, device.retiredAt);

    const id = newId();
    const payload = this.seal(address, id, order);
    const responseTopic = buildTopic({ ...address, channel: 'commandResponse', id });
    const done = new AbortController();
    const answered = new Promise<CommandResponse>((resolve) => this.waiting.set(responseTopic, resolve));
    try {
      await broker.publish(buildTopic({ ...address, channel: 'commandRequest', id }), payload, channels.commandRequest);
      const response = await Promise.race([answered, clock.sleep(order.timeoutMs, done.signal)]);
      if (response === undefined) throw await this.silence(address, order.timeoutMs);
      return { id, result: resultOf(response, address) };
    } finally {
      this.waiting.delete(responseTopic);
      done.abort();
    }
  }

  /** A response that nobody waits for, or that is none, is counted and forgotten. */
  receive(address: DeviceAddress, id: string, payload: Buffer): void {
    const topic = buildTopic({ ...address, channel: 'commandResponse', id });
    const resolve = this.waiting.get(topic);
    const response = resolve && decodeMessage(commandResponseSchema, payload);
    if (!resolve || !response?.ok || response.value.id !== id) {
      this.options.ignored.add({ reason: resolve ? 'malformed' : 'unawaited-response' });
      return;
    }
    this.waiting.delete(topic);
    resolve(response.value);
  }

  private seal(address: DeviceAddress, id: string, order: CommandOrder): Buffer {
    const now = this.options.clock.now();
    const request = checkMessage(commandRequestSchema, {
      schema: 1,
      id,
      ...address,
      issuedAt: toInstant(now),
      deadline: toInstant(now + order.timeoutMs),
      operation: order.operation,
      arguments: order.arguments,
    });
    if (!request.ok) throw new AppError('request.invalid', `${order.operation}: ${request.error.message}`);
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

  /** Presence may lag behind, so an absent device is waited for too, but it is said. */
  private async silence(address: DeviceAddress, timeoutMs: number): Promise<AppError> {
    const seconds = String(timeoutMs / 1000);
    const device = await this.options.devices.find(address);
    if (device?.online === 1) {
      return new AppError(
        'device.timeout',
        `${address.device} is online but did not answer within ${seconds} s: ask again with a longer timeout, or look at its logs`,
      );
    }
    const seen = device?.presenceAt ? `was last seen at ${device.presenceAt}` : 'has never connected';
    return new AppError(
      'device.offline',
      `${address.device} is offline (it ${seen}) and did not come back within ${seconds} s: see that its agent runs and reaches the broker`,
    );
  }
}

function resultOf({ outcome }: CommandResponse, address: DeviceAddress): unknown {
  switch (outcome.kind) {
    case 'done':
      return outcome.result;
    case 'failed': {
      const { code, message, details } = outcome.problem;
      throw new AppError(isErrorCode(code) ? code : 'internal', `${address.device}: ${message}`, {
        details: { ...details, ...(isErrorCode(code) ? {} : { deviceCode: code }) },
      });
    }
  }
}
