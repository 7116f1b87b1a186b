/** Devices that cannot be asked anything. */
import { AppError } from '#shared/kernel/errors.js';
import type { DeviceAddress } from '#shared/protocol/topics.js';

export function deviceNotFound(address: DeviceAddress): AppError {
  return new AppError(
    'device.not-found',
    `there is no device ${address.device} in workspace ${address.workspace}: flotilla device list shows what there is`,
  );
}

export function deviceRetired(address: DeviceAddress, retiredAt: string): AppError {
  return new AppError('device.retired', `${address.device} was retired at ${retiredAt} and takes no more changes`);
}
