/** What the owner of the device grants to routes: brokers, folders, the local MQTT listener. Pure. */
import { isIP } from 'node:net';
import * as z from 'zod';
import { isName } from '#shared/kernel/names.js';

export interface OutsideBrokerSetting {
  readonly name: string;
  /** Without user and password. */
  readonly url: string;
  readonly username?: string;
  readonly password?: string;
}

const texts = z.preprocess(
  (value) => (typeof value === 'string' ? value.split(',').filter((part) => part.trim() !== '') : value),
  z.array(z.string()).max(16),
);

export const routeSettings = {
  'routes.folders': z
    .string()
    .startsWith('/', 'must be an absolute path')
    .optional()
    .describe('below which modules may watch folders; without it incoming/ in the state folder'),
  'routes.files': z
    .string()
    .startsWith('/', 'must be an absolute path')
    .optional()
    .describe('below which modules may write answers; without it answers/ in the state folder'),
  'mqtt.listen': z
    .enum(['auto', 'always', 'never'])
    .default('auto')
    .describe('when the local MQTT listener is open; auto: while a route needs it'),
  'mqtt.address': z
    .string()
    .refine((text) => isIP(text) !== 0, 'must be an IP address, for example 127.0.0.1')
    .default('127.0.0.1')
    .describe('IP address of the local MQTT listener; where others reach it, a scoring key is the password'),
  'mqtt.port': z.coerce
    .number()
    .int()
    .min(0)
    .max(65_535)
    .default(1883)
    .describe('port of the local MQTT listener; 0 picks a free one'),
  'mqtt.maxPacketKilobytes': z.coerce
    .number()
    .int()
    .min(1)
    .max(262_144)
    .default(4096)
    .describe('largest message of local MQTT'),
  'mqtt.brokers': texts
    .refine((given) => given.every((text) => parseBroker(text) !== undefined), {
      error: 'must be name=mqtt://[user:password@]host[:port], or mqtts',
    })
    .refine((given) => new Set(given.map((text) => text.split('=', 1)[0]?.trim())).size === given.length, {
      error: 'names a broker twice',
    })
    .default([])
    .describe('brokers of the site that routes may name, each name=mqtt://[user:password@]host[:port] or mqtts'),
  'mqtt.brokerAuthority': z
    .string()
    .startsWith('/', 'must be an absolute path')
    .optional()
    .describe('PEM file of who certifies those brokers; without it the authorities of the system'),
} as const;

export interface RoutesConfig {
  /** Undefined: in the state folder. */
  readonly folders: string | undefined;
  readonly files: string | undefined;
}

export interface LocalMqttConfig {
  readonly listen: 'auto' | 'always' | 'never';
  readonly address: string;
  readonly port: number;
  readonly maxPacketBytes: number;
  /** Hold passwords, perhaps. */
  readonly brokers: readonly OutsideBrokerSetting[];
  readonly brokerAuthority: string | undefined;
}

const schema = z.object(routeSettings);
type Values = z.infer<typeof schema>;

const kilobyte = 1024;

export interface SiteConfig {
  readonly routes: RoutesConfig;
  readonly mqtt: LocalMqttConfig;
}

export function siteConfigOf(values: Values): SiteConfig {
  return {
    routes: { folders: values['routes.folders'], files: values['routes.files'] },
    mqtt: {
      listen: values['mqtt.listen'],
      address: values['mqtt.address'],
      port: values['mqtt.port'],
      maxPacketBytes: values['mqtt.maxPacketKilobytes'] * kilobyte,
      brokers: values['mqtt.brokers'].flatMap((text) => parseBroker(text) ?? []),
      brokerAuthority: values['mqtt.brokerAuthority'],
    },
  };
}

/** As a settings file says it, without passwords: who knows the broker needs not know who may pass. */
export function siteFileForm({ routes: { folders, files }, mqtt }: SiteConfig): Readonly<Record<string, unknown>> {
  const { maxPacketBytes, brokers, brokerAuthority, ...same } = mqtt;
  return {
    routes: { ...(folders === undefined ? {} : { folders }), ...(files === undefined ? {} : { files }) },
    mqtt: {
      ...same,
      maxPacketKilobytes: maxPacketBytes / kilobyte,
      brokers: brokers.map(
        ({ name, url, username }) => `${name}=${username === undefined ? url : url.replace('://', '://***@')}`,
      ),
      ...(brokerAuthority === undefined ? {} : { brokerAuthority }),
    },
  };
}

/** @returns undefined for what is no broker */
export function parseBroker(text: string): OutsideBrokerSetting | undefined {
  const at = text.indexOf('=');
  const name = text.slice(0, at).trim();
  const address = text.slice(at + 1).trim();
  if (at < 1 || !isName(name) || !URL.canParse(address)) return undefined;
  const url = new URL(address);
  if (!['mqtt:', 'mqtts:'].includes(url.protocol) || url.hostname === '' || !['', '/'].includes(url.pathname))
    return undefined;
  const plain = `${url.protocol}//${url.host}`;
  if (url.username === '') return { name, url: plain };
  const [username, password] = [decode(url.username), decode(url.password)];
  if (username === undefined || password === undefined) return undefined;
  return { name, url: plain, username, ...(password === '' ? {} : { password }) };
}

function decode(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}
