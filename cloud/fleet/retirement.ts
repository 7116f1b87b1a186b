/** Taking a device out of service, for good: it ends in the database first, then at the broker. */
import type { LiveEvents } from '#cloud/live/live-events.js';
import type { DeviceAccess } from '#cloud/mqtt/device-access.js';
import type { DeviceAddress } from '#shared/protocol/topics.js';
import type { KnownDevices } from './known-devices.js';
import type { Twin } from './twin.js';

export interface RetirementOptions {
  readonly twin: Twin;
  readonly known: KnownDevices;
  readonly access: DeviceAccess;
  readonly live: LiveEvents;
}

export class Retirement {
  constructor(private readonly options: RetirementOptions) {}

  /** @throws AppError `device.not-found`, `device.retired` */
  async retire(address: DeviceAddress): Promise<void> {
    const { twin, known, access, live } = this.options;
    await twin.retire(address);
    known.remove(address);
    await access.retired(address);
    live.deviceChanged(address);
  }
}
