/**
 * The topic grammar: `flotilla/v1/{workspace}/{device}/{channel}`. Topics are built and parsed here
 * and nowhere else, so that what one side writes the other can read.
 */
import { isName } from '#shared/kernel/names.js';

export const topicRoot = 'flotilla/v1';

/** Who publishes on a channel. The other side subscribes; nobody does both. */
export type Sender = 'device' | 'cloud';

interface ChannelTraits {
  readonly path: string;
  readonly from: Sender;
  readonly qos: 0 | 1;
  readonly retain: boolean;
}

/** `{id}` stands for a command's id. */
export const channels = {
  desired: { path: 'desired', from: 'cloud', qos: 1, retain: true },
  desiredGet: { path: 'desired/get', from: 'device', qos: 1, retain: false },
  reported: { path: 'reported', from: 'device', qos: 1, retain: false },
  reportedGet: { path: 'reported/get', from: 'cloud', qos: 1, retain: false },
  presence: { path: 'presence', from: 'device', qos: 1, retain: true },
  telemetry: { path: 'telemetry', from: 'device', qos: 1, retain: false },
  events: { path: 'events', from: 'device', qos: 1, retain: false },
  data: { path: 'data', from: 'device', qos: 1, retain: false },
  acks: { path: 'acks', from: 'cloud', qos: 1, retain: false },
  commandRequest: { path: 'commands/{id}/request', from: 'cloud', qos: 1, retain: false },
  commandResponse: { path: 'commands/{id}/response', from: 'device', qos: 1, retain: false },
  blocksGet: { path: 'blocks/get', from: 'device', qos: 0, retain: false },
  blocksData: { path: 'blocks/data', from: 'cloud', qos: 0, retain: false },
  trustGet: { path: 'trust/get', from: 'device', qos: 1, retain: false },
  trustData: { path: 'trust/data', from: 'cloud', qos: 1, retain: false },
} as const satisfies Record<string, ChannelTraits>;

export type Channel = keyof typeof channels;
export const channelNames = Object.keys(channels) as Channel[];

export interface DeviceAddress {
  readonly workspace: string;
  readonly device: string;
}

export interface Topic extends DeviceAddress {
  readonly channel: Channel;
  /** Present on the command channels only. */
  readonly id?: string;
}

const commandIdPattern = /^[A-Za-z0-9_-]{1,64}$/;

export function isCommandId(text: string): boolean {
  return commandIdPattern.test(text);
}

/** Throws on a name that the grammar does not allow: a caller's bug, since names are checked at the edge. */
export function buildTopic(topic: Topic): string {
  const { path } = channels[topic.channel];
  if (!isName(topic.workspace) || !isName(topic.device)) {
    throw new Error(`not a topic address: ${topic.workspace}/${topic.device}`);
  }
  const needsId = path.includes('{id}');
  if (needsId !== (topic.id !== undefined) || (topic.id !== undefined && !isCommandId(topic.id))) {
    throw new Error(`channel ${topic.channel} with id ${String(topic.id)}`);
  }
  return `${topicRoot}/${topic.workspace}/${topic.device}/${path.replace('{id}', topic.id ?? '')}`;
}

const channelByPath = new Map<string, Channel>(channelNames.map((name) => [channels[name].path, name]));

/** The reverse of {@link buildTopic}; undefined for any text that it cannot have made. */
export function parseTopic(text: string): Topic | undefined {
  const [root, version, workspace, device, ...rest] = text.split('/');
  if (`${root ?? ''}/${version ?? ''}` !== topicRoot) return undefined;
  if (workspace === undefined || device === undefined || !isName(workspace) || !isName(device)) return undefined;

  const plain = channelByPath.get(rest.join('/'));
  if (plain !== undefined && !channels[plain].path.includes('{id}')) return { workspace, device, channel: plain };

  const [first, id, last, ...tooMuch] = rest;
  if (first !== 'commands' || id === undefined || !isCommandId(id) || tooMuch.length > 0) return undefined;
  if (last === 'request') return { workspace, device, channel: 'commandRequest', id };
  if (last === 'response') return { workspace, device, channel: 'commandResponse', id };
  return undefined;
}

/** The filters a device subscribes to: every channel that the cloud sends on, in its own subtree. */
export function deviceFilters(address: DeviceAddress): string[] {
  return filtersOf('cloud', `${topicRoot}/${address.workspace}/${address.device}`);
}

/** The filters the control plane subscribes to: every channel that devices send on, of every workspace. */
export function cloudFilters(): string[] {
  return filtersOf('device', `${topicRoot}/+/+`);
}

function filtersOf(sender: Sender, prefix: string): string[] {
  return channelNames
    .filter((name) => channels[name].from === sender)
    .map((name) => `${prefix}/${channels[name].path.replace('{id}', '+')}`);
}

/** May this device publish on this topic? Its own subtree, and only what devices send. */
export function mayDevicePublish(address: DeviceAddress, topicText: string): boolean {
  const topic = parseTopic(topicText);
  return topic !== undefined && isOwn(address, topic) && channels[topic.channel].from === 'device';
}

/**
 * May this device subscribe with this filter? Only with the very filters of {@link deviceFilters},
 * or with a topic that one of them matches: a wider filter is refused, not narrowed.
 */
export function mayDeviceSubscribe(address: DeviceAddress, filter: string): boolean {
  if (deviceFilters(address).includes(filter)) return true;
  const topic = parseTopic(filter);
  return topic !== undefined && isOwn(address, topic) && channels[topic.channel].from === 'cloud';
}

function isOwn(address: DeviceAddress, topic: Topic): boolean {
  return topic.workspace === address.workspace && topic.device === address.device;
}

/** The MQTT client id, and user name, of a device. */
export function clientIdOf(address: DeviceAddress): string {
  return `${address.workspace}/${address.device}`;
}

export function parseClientId(text: string): DeviceAddress | undefined {
  const [workspace, device, ...rest] = text.split('/');
  if (workspace === undefined || device === undefined || rest.length > 0) return undefined;
  return isName(workspace) && isName(device) ? { workspace, device } : undefined;
}
