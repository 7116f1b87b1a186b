/**
 * Direct commands: signed by the director, published, and answered once by the device until their
 * deadline. They are not kept: who asked waits, and asks again when nothing came.
 */
import type { Clock } from '#shared/kernel/clock.js';
import { AppError, isErrorCode } from '#shared/kernel/errors.js';
import type { NewId } from '#shared/kernel/ids.js';
import type { CommandResponse } from '#shared/protocol/commands.js';
import type { DeviceAddress } from '#shared/protocol/topics.js';
import type { CommandChannel } from './command-channel.js';
import type { DeviceRepository } from './device-repository.js';
import { deviceNotFound, deviceRetired } from './device-errors.js';

export interface CommandServiceOptions {
  readonly devices: DeviceRepository;
  readonly channel: CommandChannel;
  readonly clock: Clock;
  readonly newId: NewId;
}

export interface CommandOrder {
  readonly operation: string;
  readonly arguments: Readonly<Record<string, unknown>>;
  readonly timeoutMs: number;
}

export class CommandService {
  constructor(private readonly options: CommandServiceOptions) {}

  /** @throws AppError what the device answered, `device.timeout`, `device.offline`, `request.invalid` */
  async run(address: DeviceAddress, order: CommandOrder): Promise<{ id: string; result: unknown }> {
    const { devices, channel, clock, newId } = this.options;
    const device = await devices.find(address);
    if (device === undefined) throw deviceNotFound(address);
    if (device.retiredAt !== null) throw deviceRetired(address, device.retiredAt);

    const id = newId();
    const done = new AbortController();
    let unlisten = (): void => undefined;
    const answered = new Promise<CommandResponse>((resolve) => {
      unlisten = channel.listen(address, id, resolve);
    });
    try {
      await channel.publish(address, id, { ...order, deadlineAt: clock.now() + order.timeoutMs });
      const response = await Promise.race([answered, clock.sleep(order.timeoutMs, done.signal)]);
      if (response === undefined) throw await this.silence(address, order.timeoutMs);
      return { id, result: resultOf(response, address) };
    } finally {
      unlisten();
      done.abort();
    }
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
