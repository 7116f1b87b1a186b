/** Who may connect to the broker, told to it whenever that changes. */
import type { DeviceAddress } from '#shared/protocol/topics.js';

export interface DeviceAccess {
  /** The device may connect from now on. */
  enrolled(address: DeviceAddress): Promise<void>;
  /** The device may no longer connect, and its live session ends. */
  retired(address: DeviceAddress): Promise<void>;
  /** This certificate is no longer accepted, and a live session that uses it ends. @param fingerprint SHA-256 in hex */
  revoked(address: DeviceAddress, fingerprint: string): Promise<void>;
}

/** What the broker must know of a device to let it in. */
export interface DeviceCredential extends DeviceAddress {
  readonly secretHash: string;
}
