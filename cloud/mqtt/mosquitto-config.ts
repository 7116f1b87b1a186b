/**
 * What an external Mosquitto is told, as text: the rules of `broker-access.ts` in its own words. The
 * certificate says who a client is, and `use_username_as_clientid` makes the same its client id, whatever
 * it sends, so that nobody takes another's connection.
 *
 * Its rules are weaker than the embedded broker's where its files can say no more: a subscription is
 * granted and its messages withheld, and a retained message is not told from another.
 */
import { join } from 'node:path';
import { channelNames, channels, type Sender, topicRoot } from '#shared/protocol/topics.js';
import { maxPacketBytes } from '#shared/protocol/frame-guard.js';
import { adminName, controlPlaneName } from './broker-access.js';

/** In the folder that Mosquitto reads. */
export const mosquittoFileNames = {
  configuration: 'mosquitto.conf',
  rules: 'acl',
  certificate: 'server.crt',
  privateKey: 'server.key',
  authorities: 'authorities.crt',
  revoked: 'revoked.crl',
} as const;

/** `%u` is the name in the certificate, workspace/device: names hold no wildcard, so a pattern is one device's subtree. */
export function aclFile(): string {
  const rules = (sender: Sender, prefix: string, verb: string): string[] =>
    channelNames
      .filter((name) => channels[name].from === sender)
      .map((name) => `${verb} ${topicRoot}/${prefix}/${channels[name].path.replace('{id}', '+')}`);
  return `${[
    '# Written by Flotilla; changes are lost.',
    `user ${controlPlaneName}`,
    ...rules('device', '+/+', 'topic read'),
    ...rules('cloud', '+/+', 'topic write'),
    '',
    `user ${adminName}`,
    'topic read #',
    'topic read $SYS/#',
    '',
    ...rules('device', '%u', 'pattern write'),
    ...rules('cloud', '%u', 'pattern read'),
  ].join('\n')}\n`;
}

export interface MosquittoConfig {
  readonly host: string;
  readonly port: number;
  readonly folder: string;
  readonly pidFile: string;
  readonly maxConnections: number;
  /** Is the control plane root? Then Mosquitto must stay so too, to read these files. */
  readonly asRoot: boolean;
}

/** A whole configuration: `mosquitto -c <file>` serves with it. */
export function mosquittoConfig(config: MosquittoConfig): string {
  const at = (name: keyof typeof mosquittoFileNames): string => join(config.folder, mosquittoFileNames[name]);
  return `${[
    '# Written by Flotilla; changes are lost. Use it as it is, or copy what you need.',
    ...(config.asRoot ? ['user root'] : []),
    'per_listener_settings false',
    'allow_anonymous false',
    `acl_file ${at('rules')}`,
    `pid_file ${config.pidFile}`,
    `max_packet_size ${String(maxPacketBytes)}`,
    'persistence false',
    // Sessions are clean; what somebody leaves behind all the same is small and soon forgotten.
    'persistent_client_expiration 1h',
    // A device reads desired from its subscription before it has answered for an older one.
    'max_inflight_messages 100',
    'max_queued_messages 1000',
    'max_queued_bytes 4194304',
    'set_tcp_nodelay true',
    `listener ${String(config.port)} ${config.host}`,
    `max_connections ${String(config.maxConnections)}`,
    `certfile ${at('certificate')}`,
    `keyfile ${at('privateKey')}`,
    `cafile ${at('authorities')}`,
    `crlfile ${at('revoked')}`,
    'require_certificate true',
    'use_identity_as_username true',
    'use_username_as_clientid true',
    'tls_version tlsv1.2',
  ].join('\n')}\n`;
}
