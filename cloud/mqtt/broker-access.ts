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

/** Watches everything, sends nothing: for a person who debugs. */
export const adminUser = 'admin';

export type Identity = { readonly kind: 'device'; readonly address: DeviceAddress } | { readonly kind: 'admin' };

export interface BrokerCredentials {
  readonly clientId: string;
  readonly userName: string | undefined;
  readonly password: Buffer | undefined;
  /** Topic of the last will, when there is one. */
  readonly will: WillClaim | undefined;
}

export interface WillClaim {
  readonly topic: string;
  readonly retain: boolean;
  readonly qos: number;
  readonly bytes: number;
}

export type Claim =
  | { readonly kind: 'device'; readonly address: DeviceAddress }
  | { readonly kind: 'admin' }
  | { readonly kind: 'refused'; readonly reason: 'identifier' | 'credentials' | 'not-authorized' };

/** What a CONNECT claims to be, before its password is looked at. */
export function readClaim(credentials: BrokerCredentials): Claim {
  const { clientId, userName, password, will } = credentials;
  if (userName === undefined || password === undefined) return { kind: 'refused', reason: 'credentials' };
  const idAddress = parseClientId(clientId);
  if (userName === adminUser) {
    // A client id of a device would throw that device off the broker.
    if (idAddress !== undefined) return { kind: 'refused', reason: 'identifier' };
    return will === undefined ? { kind: 'admin' } : { kind: 'refused', reason: 'not-authorized' };
  }
  const address = parseClientId(userName);
  if (address === undefined) return { kind: 'refused', reason: 'credentials' };
  if (idAddress === undefined || clientId !== clientIdOf(address)) return { kind: 'refused', reason: 'identifier' };
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
