/** Who may do what on the broker, as plain decisions; both adapters and Mosquitto's files follow them. */
import {
  channels,
  clientIdOf,
  type DeviceAddress,
  mayDevicePublish,
  mayDeviceSubscribe,
  parseClientId,
  parseTopic,
} from '#shared/protocol/topics.js';
import { maxMessageBytes } from '#shared/protocol/decode.js';

/** Watches everything, sends nothing: for a person who debugs. No device can have this name. */
export const adminName = '$admin';
/** The control plane itself, at an external broker. */
export const controlPlaneName = '$control-plane';

export type Identity = { readonly kind: 'device'; readonly address: DeviceAddress } | { readonly kind: 'admin' };

export interface ConnectClaim {
  /** Common name of the verified certificate. */
  readonly certificateName: string;
  readonly clientId: string;
  readonly userName: string | undefined;
  readonly clean: boolean;
  readonly will: WillClaim | undefined;
}

export interface WillClaim {
  readonly topic: string;
  readonly retain: boolean;
  readonly qos: number;
  readonly bytes: number;
}

export type RefusalReason = 'identifier' | 'credentials' | 'not-authorized' | 'unavailable';
export type Claim =
  | Identity
  | { readonly kind: 'refused'; readonly reason: 'identifier' | 'credentials' | 'not-authorized' };

/**
 * What a CONNECT may be, before the certificate is looked up. The certificate alone says who it is: a
 * client id or user name that says another is refused; a password is not looked at. Sessions are clean,
 * since what is kept for absent clients would be anybody's way to fill our memory.
 */
export function readClaim({ certificateName, clientId, userName, clean, will }: ConnectClaim): Claim {
  if (userName !== undefined && userName !== certificateName) return { kind: 'refused', reason: 'credentials' };
  if (!clean) return { kind: 'refused', reason: 'not-authorized' };
  if (certificateName === adminName) {
    // A client id of a device would throw that device off the broker.
    if (parseClientId(clientId) !== undefined) return { kind: 'refused', reason: 'identifier' };
    return will === undefined ? { kind: 'admin' } : { kind: 'refused', reason: 'not-authorized' };
  }
  const address = parseClientId(certificateName);
  if (address === undefined) return { kind: 'refused', reason: 'credentials' };
  if (clientId !== clientIdOf(address)) return { kind: 'refused', reason: 'identifier' };
  if (will !== undefined && !mayPublish({ kind: 'device', address }, will)) {
    return { kind: 'refused', reason: 'not-authorized' };
  }
  return { kind: 'device', address };
}

/** Topic and direction, and besides: no QoS 2, no retained message where none belongs, no oversize. */
export function mayPublish(identity: Identity, message: WillClaim): boolean {
  if (identity.kind === 'admin' || !mayDevicePublish(identity.address, message.topic)) return false;
  const topic = parseTopic(message.topic);
  if (topic === undefined) return false;
  return message.qos <= 1 && message.bytes <= maxMessageBytes && (!message.retain || channels[topic.channel].retain);
}

export function maySubscribe(identity: Identity, filter: string): boolean {
  return identity.kind === 'admin' || mayDeviceSubscribe(identity.address, filter);
}
