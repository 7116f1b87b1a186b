/**
 * What an external Mosquitto reads: a password file with every device, an ACL file with the rules of
 * `broker-access.ts`, a configuration to include. Written whole and atomically whenever a device is
 * enrolled or retired, then Mosquitto is told by SIGHUP. Mosquitto runs as the user of the control
 * plane, since the password file is for that user alone.
 *
 * The rules are weaker than the embedded broker's, by what Mosquitto's files can say: a subscription is
 * granted and its messages withheld; a retained message is not told from another; and a client id is not
 * bound to the user, so that one device can disconnect another by taking its id, though neither hear nor
 * speak for it. `use_username_as_clientid` would bind it, but with Mosquitto 2.0.11 a CONNECT without user
 * name and with a connected device's id, which anybody can send, then leaves that device deaf for good.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { AppError, messageOf } from '#shared/kernel/errors.js';
import { errno, writeFileAtomic } from '#shared/platform/atomic-file.js';
import type { Logger } from '#shared/platform/logger.js';
import { makePrivateFolder } from '#shared/platform/private-file.js';
import { channelNames, channels, clientIdOf, type Sender, topicRoot } from '#shared/protocol/topics.js';
import { adminUser } from './broker-access.js';
import type { DeviceAccess, DeviceCredential } from './device-access.js';
import { maxPacketBytes } from '#shared/protocol/frame-guard.js';

export interface MosquittoAccounts {
  /** User name of the control plane. */
  readonly cloudUser: string;
  /** Hashes in Mosquitto's `$7$` form. */
  readonly cloudHash: string;
  readonly adminHash: string;
}

/** One line a user: Mosquitto reads the hash as we store it. */
export function passwordFile(accounts: MosquittoAccounts, devices: readonly DeviceCredential[]): string {
  const lines = [
    `${accounts.cloudUser}:${accounts.cloudHash}`,
    `${adminUser}:${accounts.adminHash}`,
    ...devices.map((device) => `${clientIdOf(device)}:${device.secretHash}`),
  ];
  return `${lines.join('\n')}\n`;
}

/** `%u` is the user name, workspace/device: names hold no wildcard, so a pattern is one device's subtree. */
export function aclFile(cloudUser: string): string {
  const rules = (sender: Sender, prefix: string, verb: string): string[] =>
    channelNames
      .filter((name) => channels[name].from === sender)
      .map((name) => `${verb} ${topicRoot}/${prefix}/${channels[name].path.replace('{id}', '+')}`);
  return `${[
    '# Written by Flotilla; changes are lost.',
    `user ${cloudUser}`,
    ...rules('device', '+/+', 'topic read'),
    ...rules('cloud', '+/+', 'topic write'),
    '',
    `user ${adminUser}`,
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
  readonly certificateFile: string;
  readonly privateKeyFile: string;
  readonly pidFile: string;
  readonly maxConnections: number;
  /** Is the control plane root? Then Mosquitto must stay so too, to read these files. */
  readonly asRoot: boolean;
}

/** A whole configuration: `mosquitto -c <file>` serves with it. */
export function mosquittoConfig(config: MosquittoConfig): string {
  return `${[
    '# Written by Flotilla; changes are lost. Use it as it is, or copy what you need.',
    ...(config.asRoot ? ['user root'] : []),
    'per_listener_settings false',
    'allow_anonymous false',
    `password_file ${join(config.folder, 'passwords')}`,
    `acl_file ${join(config.folder, 'acl')}`,
    `pid_file ${config.pidFile}`,
    `max_packet_size ${String(maxPacketBytes)}`,
    'persistence false',
    // A device reads desired from its subscription before it has answered for an older one.
    'max_inflight_messages 100',
    'max_queued_messages 1000',
    'set_tcp_nodelay true',
    `listener ${String(config.port)} ${config.host}`,
    `max_connections ${String(config.maxConnections)}`,
    `certfile ${config.certificateFile}`,
    `keyfile ${config.privateKeyFile}`,
    'tls_version tlsv1.2',
  ].join('\n')}\n`;
}

export interface MosquittoFilesOptions {
  readonly folder: string;
  readonly pidFile: string;
  readonly accounts: MosquittoAccounts;
  /** Every device that is not retired. */
  readonly listDevices: () => Promise<readonly DeviceCredential[]>;
  readonly logger: Logger;
}

export class MosquittoFiles implements DeviceAccess {
  private running: Promise<void> | undefined;
  private next: Promise<void> | undefined;

  constructor(private readonly options: MosquittoFilesOptions) {}

  enrolled(): Promise<void> {
    return this.write();
  }

  retired(): Promise<void> {
    return this.write();
  }

  revoked(): Promise<void> {
    return this.write();
  }

  /** Resolves when files that hold everything known at the call are in place and Mosquitto was told. */
  write(): Promise<void> {
    if (this.next) return this.next;
    const next = (this.running ?? Promise.resolve())
      .catch(() => undefined) // its caller got that error
      .then(() => {
        this.next = undefined;
        this.running = next;
        return this.writeOnce();
      });
    this.next = next;
    return next;
  }

  private async writeOnce(): Promise<void> {
    const { folder, accounts } = this.options;
    await makePrivateFolder(folder);
    await writeFileAtomic(join(folder, 'acl'), aclFile(accounts.cloudUser), { mode: 0o600 });
    await writeFileAtomic(join(folder, 'passwords'), passwordFile(accounts, await this.options.listDevices()), {
      mode: 0o600,
    });
    await this.signal();
  }

  private async signal(): Promise<void> {
    const { pidFile, logger } = this.options;
    try {
      const pid = Number.parseInt(await readFile(pidFile, 'utf8'), 10);
      if (!(pid > 1)) throw new AppError('broker.unreachable', 'it holds no process id');
      process.kill(pid, 'SIGHUP');
    } catch (error) {
      const level = errno(error) === 'ENOENT' ? 'debug' : 'warn';
      logger[level]({ pidFile, reason: messageOf(error) }, 'Mosquitto was not told; it reads the files when it starts');
    }
  }
}
