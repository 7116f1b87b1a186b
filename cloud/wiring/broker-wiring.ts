/** The broker that the configuration names, with whoever tells it which devices may connect. */
import { readFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { AppError, messageOf } from '#shared/kernel/errors.js';
import { writeFileAtomic } from '#shared/platform/atomic-file.js';
import { controlPlaneServerName } from '#shared/protocol/enrolment.js';
import type { CloudConfig } from '#cloud/config.js';
import type { DeviceRepository } from '#cloud/fleet/device-repository.js';
import type { Broker } from '#cloud/mqtt/broker.js';
import { adminUser } from '#cloud/mqtt/broker-access.js';
import { ensureBrokerAccount } from '#cloud/mqtt/broker-accounts.js';
import { BrokerAuthenticator } from '#cloud/mqtt/broker-authenticator.js';
import { hashPassword, newSecret, PasswordVerifier } from '#cloud/mqtt/broker-password.js';
import type { DeviceAccess } from '#cloud/mqtt/device-access.js';
import { EmbeddedBroker } from '#cloud/mqtt/embedded-broker.js';
import { ExternalBroker } from '#cloud/mqtt/external-broker.js';
import { mosquittoConfig, MosquittoFiles } from '#cloud/mqtt/mosquitto-files.js';
import type { InstallationIdentity } from '#cloud/trust/installation-identity.js';
import type { Ground } from './ground.js';

export interface WiredBroker {
  readonly broker: Broker;
  readonly access: DeviceAccess;
  /** By which devices reach it; known once it is open. */
  url(): string;
  /** The name that its certificate carries, and the PEM certificates that it chains to. */
  readonly serverName: string;
  readonly authority: string;
  /** Connected clients, where we can know. */
  connections(): number | undefined;
}

const connectTimeoutMs = 15_000;
const reconnectMs = 1_000;

export async function wireBroker(
  ground: Ground,
  devices: DeviceRepository,
  identity: InstallationIdentity,
): Promise<WiredBroker> {
  return ground.config.broker.kind === 'embedded'
    ? wireEmbedded(ground, devices, identity)
    : wireExternal(ground, devices, identity);
}

async function wireEmbedded(
  { config, logger }: Ground,
  devices: DeviceRepository,
  identity: InstallationIdentity,
): Promise<WiredBroker> {
  const { host, port, maxConnections, advertiseUrl } = config.broker;
  const admin = await ensureBrokerAccount(accountFolder(config), adminUser);
  const broker = await EmbeddedBroker.create({
    host,
    port,
    certificate: identity.server.certificate,
    privateKey: identity.server.privateKey,
    maxConnections,
    connectTimeoutMs,
    logger: logger.child({ part: 'broker' }),
    authenticator: new BrokerAuthenticator({
      findDevice: (address) => devices.findCredential(address),
      adminPassword: admin.password,
      passwords: new PasswordVerifier(),
      decoyHash: await hashPassword(newSecret()),
    }),
  });
  return {
    broker,
    access: broker,
    url: () => advertiseUrl ?? `mqtts://${reachableHost(host)}:${String(broker.port)}`,
    serverName: controlPlaneServerName,
    authority: identity.authority,
    connections: () => broker.connections,
  };
}

async function wireExternal(
  { config, logger }: Ground,
  devices: DeviceRepository,
  identity: InstallationIdentity,
): Promise<WiredBroker> {
  const { url = '', username, passwordFile, caFile, pidFile, advertiseUrl, maxConnections } = config.broker;
  const folder = join(accountFolder(config), 'mosquitto');
  const admin = await ensureBrokerAccount(accountFolder(config), adminUser);
  const password =
    passwordFile === undefined
      ? (await ensureBrokerAccount(accountFolder(config), username)).password
      : (await readSetting(passwordFile, 'broker.passwordFile')).trim();
  const files = new MosquittoFiles({
    folder,
    pidFile: pidFile ?? join(folder, 'mosquitto.pid'),
    accounts: {
      cloudUser: username,
      cloudHash: await hashPassword(password),
      adminHash: await hashPassword(admin.password),
    },
    listDevices: () => devices.listEnrolled(),
    logger: logger.child({ part: 'mosquitto-files' }),
  });
  await files.write();
  const { hostname: host, port } = new URL(url);
  await writeFileAtomic(
    join(folder, 'mosquitto.conf'),
    mosquittoConfig({
      host: host.replace(/^\[|\]$/g, ''),
      port: Number(port === '' ? 8883 : port),
      folder,
      certificateFile: identity.serverCertificateFile,
      privateKeyFile: identity.serverPrivateKeyFile,
      pidFile: pidFile ?? join(folder, 'mosquitto.pid'),
      maxConnections,
      asRoot: process.getuid?.() === 0,
    }),
    { mode: 0o600 },
  );
  const authority = caFile === undefined ? identity.authority : await readSetting(caFile, 'broker.caFile');
  // With authorities of its own the broker has a name of its own too: the one it is reached by.
  const serverName = caFile === undefined ? controlPlaneServerName : host;
  const broker = new ExternalBroker({
    url,
    userName: username,
    password,
    authority,
    serverName,
    reconnectMs,
    logger: logger.child({ part: 'broker' }),
  });
  return {
    broker,
    access: files,
    url: () => advertiseUrl ?? url,
    serverName,
    authority,
    connections: () => undefined,
  };
}

function accountFolder(config: CloudConfig): string {
  return join(config.dataDir, 'broker');
}

/** What stands for every address is none that a device could reach. */
export function reachableHost(host: string): string {
  const name = host === '0.0.0.0' || host === '::' ? hostname() : host;
  return name.includes(':') ? `[${name}]` : name;
}

async function readSetting(path: string, setting: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    throw new AppError('config.invalid', `cannot read ${setting} ${path}: ${messageOf(error)}`, { cause: error });
  }
}
