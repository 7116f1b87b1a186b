/**
 * Which devices are enrolled and not retired, in memory: asked for every message that arrives, so
 * that a stranger's or a retired device's message costs no query. Filled at start, kept by whoever
 * enrols and retires.
 */
import { clientIdOf, type DeviceAddress } from '#shared/protocol/topics.js';

export class KnownDevices {
  private readonly names = new Set<string>();

  constructor(addresses: readonly DeviceAddress[]) {
    for (const address of addresses) this.add(address);
  }

  has(address: DeviceAddress): boolean {
    return this.names.has(clientIdOf(address));
  }

  add(address: DeviceAddress): void {
    this.names.add(clientIdOf(address));
  }

  remove(address: DeviceAddress): void {
    this.names.delete(clientIdOf(address));
  }

  get size(): number {
    return this.names.size;
  }
}
