/** Who may connect to the broker, told to it whenever that changes. */
import type { DeviceAddress } from '#shared/protocol/topics.js';

export interface DeviceAccess {
  /** The device may connect from now on. */
  enrolled(address: DeviceAddress): Promise<void>;
  /** The device may no longer connect, and its live session ends. */
  retired(address: DeviceAddress): Promise<void>;
  /** This certificate is no longer accepted, and a live session that uses it ends. @param fingerprint SHA-256 in hex */
  revoked(address: DeviceAddress, fingerprint: string): Promise<void>;
  /** The same, where the device is connected by a newer one already: its session goes on. */
  superseded(address: DeviceAddress, fingerprint: string): Promise<void>;
  /** Whose certificates count, or the server's own certificate, is other than it was: read anew, without a restart. */
  authoritiesChanged(): Promise<void>;
}
