/** The broker that the configuration names, with whoever tells it which devices may connect. */
import { readFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { toInstant } from '#shared/kernel/clock.js';
import { AppError, messageOf } from '#shared/kernel/errors.js';
import { controlPlaneServerName } from '#shared/protocol/enrolment.js';
import type { CloudConfig } from '#cloud/config.js';
import { CertificateRepository } from '#cloud/fleet/certificate-repository.js';
import type { DeviceRepository } from '#cloud/fleet/device-repository.js';
import type { Upgrade } from '#cloud/http/app.js';
import { type AdminCertificate, ensureAdminCertificate } from '#cloud/mqtt/admin-certificate.js';
import type { Broker } from '#cloud/mqtt/broker.js';
import { adminName, controlPlaneName } from '#cloud/mqtt/broker-access.js';
import { BrokerAuthenticator } from '#cloud/mqtt/broker-authenticator.js';
import type { DeviceAccess } from '#cloud/mqtt/device-access.js';
import { type BrokerTls, EmbeddedBroker } from '#cloud/mqtt/embedded-broker.js';
import { ExternalBroker } from '#cloud/mqtt/external-broker.js';
import { MosquittoFiles } from '#cloud/mqtt/mosquitto-files.js';
import { takeOverSession } from '#cloud/mqtt/takeover.js';
import { webSocketPath } from '#cloud/mqtt/websocket-door.js';
import type { LivingIdentity } from '#cloud/trust/living-identity.js';
import type { Ground } from './ground.js';

export interface WiredBroker {
  readonly broker: Broker;
  readonly access: DeviceAccess;
  /** By which devices reach it; known once it is open. */
  url(): string;
  /** The name that its certificate carries. */
  readonly serverName: string;
  /** PEM certificates that it chains to, where they are others than the installation's. */
  readonly authority?: string;
  /** MQTT over WebSocket, for listeners that ask for client certificates. */
  readonly upgrades: readonly Upgrade[];
  /** Connected clients, and bytes that wait for them to read, where we can know. */
  load(): { readonly connections: number; readonly waitingBytes: number } | undefined;
}

const connectTimeoutMs = 15_000;
const reconnectMs = 1_000;
const stallMs = 10_000;
const maxThrottledMs = 60_000;
const burstSeconds = 10;
/** Of a certificate that takes a session over. */
const takeoverMs = 600_000;

export async function wireBroker(
  ground: Ground,
  devices: DeviceRepository,
  identity: LivingIdentity,
): Promise<WiredBroker> {
  const ensureAdmin = (): Promise<AdminCertificate> =>
    ensureAdminCertificate({
      folder: brokerFolder(ground.config),
      issue: () => identity.current.issuer.issueClient(adminName, ground.clock.now()),
      authorities: identity.current.authorities,
      nowMs: ground.clock.now(),
    });
  let present = await ensureAdmin();
  const admin = (): AdminCertificate => present;
  const tls = (): BrokerTls => ({ ...identity.current.server, authorities: identity.current.authorities });
  const wired = await (ground.config.broker.kind === 'embedded'
    ? wireEmbedded(ground, devices, tls, admin)
    : wireExternal(ground, identity, tls, admin));
  identity.onChanged(async () => {
    present = await ensureAdmin();
    await wired.access.authoritiesChanged();
  });
  return wired;
}

async function wireEmbedded(
  { config, logger, clock }: Ground,
  devices: DeviceRepository,
  tls: () => BrokerTls,
  admin: () => AdminCertificate,
): Promise<WiredBroker> {
  const { host, port, advertiseUrl, maxConnections, maxConnectionsPerAddress, maxStrangersPerAddress } = config.broker;
  const broker = await EmbeddedBroker.create({
    host,
    port,
    tls,
    connections: {
      inAll: maxConnections,
      perAddress: maxConnectionsPerAddress,
      strangersPerAddress: maxStrangersPerAddress,
    },
    takeovers: { burst: 20, perSecond: 1 },
    stream: {
      flow: {
        messagesPerSecond: config.broker.messagesPerSecond,
        bytesPerSecond: config.broker.kilobytesPerSecond * 1024,
        burstSeconds,
      },
      maxWaitingBytes: 4 * 1024 * 1024,
      stallMs,
      maxThrottledMs,
    },
    connectTimeoutMs,
    now: () => clock.monotonic(),
    logger: logger.child({ part: 'broker' }),
    authenticator: new BrokerAuthenticator({
      findDevice: (address) => devices.findDevice(address),
      adminFingerprint: () => admin().fingerprint,
    }),
  });
  return {
    broker,
    access: broker,
    url: () => advertiseUrl ?? `mqtts://${reachableHost(host)}:${String(broker.port)}`,
    serverName: controlPlaneServerName,
    upgrades: [{ path: webSocketPath, handle: (request, socket, head) => broker.upgrade(request, socket, head) }],
    load: () => ({ connections: broker.connections, waitingBytes: broker.waitingBytes }),
  };
}

async function wireExternal(
  { config, logger, clock, control, shutdown }: Ground,
  identity: LivingIdentity,
  tls: () => BrokerTls,
  admin: () => AdminCertificate,
): Promise<WiredBroker> {
  const { url = '', caFile, advertiseUrl, maxConnections, reloadCommand } = config.broker;
  const { hostname: host, port } = new URL(url);
  const bare = host.replace(/^\[|\]$/g, '');
  const authority = caFile === undefined ? undefined : await readSetting(caFile, 'broker.caFile');
  const authorities = (): readonly string[] => (authority === undefined ? identity.current.authorities : [authority]);
  // With authorities of its own the broker has a name of its own too: the one it is reached by.
  const serverName = authority === undefined ? controlPlaneServerName : bare;
  const folder = join(brokerFolder(config), 'mosquitto');
  const certificates = new CertificateRepository(control);
  const files = new MosquittoFiles({
    config: {
      host: bare,
      port: Number(port === '' ? 8883 : port),
      folder,
      pidFile: config.broker.pidFile ?? join(folder, 'mosquitto.pid'),
      maxConnections,
      asRoot: process.getuid?.() === 0,
    },
    tls,
    revocationLists: async () => {
      const lists = identity.current.issuers.map(async (issuer) => {
        const revoked = await certificates.revokedSerials(issuer.fingerprint, toInstant(clock.now()));
        const devices = revoked.map(({ serial, revokedAt }) => ({ serial, revokedAtMs: Date.parse(revokedAt) }));
        // Serials are random: on the list of an authority that did not issue it, one means nothing.
        return issuer.revocationList([...devices, ...admin().revoked], clock.now());
      });
      return (await Promise.all(lists)).join('');
    },
    takeOver: (address) =>
      takeOverSession(
        {
          url,
          authorities,
          serverName,
          certify: async (of, publicKey) => {
            const validity = { nowMs: clock.now(), lifetimeMs: takeoverMs };
            return (await identity.current.issuer.issueDevice(of, publicKey, validity)).certificate;
          },
        },
        address,
      ),
    reloadCommand,
    clock,
    logger: logger.child({ part: 'mosquitto-files' }),
  });
  shutdown.add('sessions being ended', () => files.close());
  await files.write();
  const own = async () => ({
    ...(await identity.current.issuer.issueClient(controlPlaneName, clock.now())),
    authorities: authorities(),
  });
  const broker = new ExternalBroker({
    url,
    ...(await own()),
    serverName,
    reconnectMs,
    logger: logger.child({ part: 'broker' }),
  });
  return {
    broker,
    access: {
      enrolled: (address) => files.enrolled(address),
      retired: (address) => files.retired(address),
      revoked: (address, fingerprint) => files.revoked(address, fingerprint),
      superseded: (address, fingerprint) => files.superseded(address, fingerprint),
      authoritiesChanged: async () => {
        await files.authoritiesChanged();
        broker.use(await own());
      },
    },
    url: () => advertiseUrl ?? url,
    serverName,
    ...(authority === undefined ? {} : { authority }),
    upgrades: [],
    load: () => undefined,
  };
}

/** Holds `admin.crt` and `admin.key`, and what an external broker reads. */
function brokerFolder(config: CloudConfig): string {
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
