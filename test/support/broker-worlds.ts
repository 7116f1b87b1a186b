/** The same broker port on the embedded broker, by both its ways in, and on a real Mosquitto. */
import { spawn } from 'node:child_process';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { connect, type IClientOptions, type MqttClient } from 'mqtt';
import { systemClock } from '#shared/kernel/clock.js';
import { controlPlaneServerName } from '#shared/protocol/enrolment.js';
import { CertificateRepository } from '#cloud/fleet/certificate-repository.js';
import type { Broker } from '#cloud/mqtt/broker.js';
import { adminName, controlPlaneName } from '#cloud/mqtt/broker-access.js';
import { BrokerAuthenticator } from '#cloud/mqtt/broker-authenticator.js';
import type { DeviceAccess } from '#cloud/mqtt/device-access.js';
import { type BrokerTls, EmbeddedBroker, type EmbeddedBrokerOptions } from '#cloud/mqtt/embedded-broker.js';
import { ExternalBroker } from '#cloud/mqtt/external-broker.js';
import { MosquittoFiles } from '#cloud/mqtt/mosquitto-files.js';
import { takeOverSession } from '#cloud/mqtt/takeover.js';
import { ownPort } from './own-port.js';
import { CertificateIssuer } from '#cloud/trust/certificate-issuer.js';
import { fingerprintOf, type KeyedCertificate } from '#cloud/trust/certificates.js';
import type { InstallationIdentity } from '#cloud/trust/installation-identity.js';
import { eventually, type FleetWorld, identityIn, silent } from './fleet-world.js';
import { findTool } from './outside-tool.js';
import { type TestCertificate, testAuthority } from './test-certificates.js';

export interface BrokerWorld {
  readonly broker: Broker;
  readonly access: DeviceAccess;
  readonly identity: InstallationIdentity;
  /** What the broker serves with; a test may change it and say so by `access.authoritiesChanged`. */
  readonly served: { tls: BrokerTls; issuers: readonly CertificateIssuer[] };
  /** One more whose certificates the broker takes, and whose key the test has. */
  readonly authority: TestCertificate;
  readonly port: number;
  readonly admin: KeyedCertificate;
  /** A client that shows this certificate, or none; it trusts the installation's authority. */
  client(who: KeyedCertificate | undefined, options?: IClientOptions): MqttClient;
  close(): Promise<void>;
}

export const testLimits: Pick<EmbeddedBrokerOptions, 'connections' | 'takeovers' | 'stream' | 'connectTimeoutMs'> = {
  connections: { inAll: 100, perAddress: 100, strangersPerAddress: 100 },
  takeovers: { burst: 1_000, perSecond: 100 },
  stream: {
    flow: { messagesPerSecond: 1_000, bytesPerSecond: 64 * 1024 * 1024, burstSeconds: 10 },
    maxWaitingBytes: 4 * 1024 * 1024,
    stallMs: 1_000,
    maxThrottledMs: 1_000,
  },
  connectTimeoutMs: 5_000,
};

export async function openEmbedded(
  world: FleetWorld,
  limits: Partial<typeof testLimits> = {},
): Promise<BrokerWorld & { readonly embedded: EmbeddedBroker }> {
  const identity = await identityIn(world.folder);
  const admin = await identity.issuer.issueClient(adminName, Date.now());
  const authority = await testAuthority('Test');
  const served: BrokerWorld['served'] = {
    tls: { ...identity.server, authorities: [...identity.authorities, authority.certificate] },
    issuers: [identity.issuer, new CertificateIssuer(authority)],
  };
  const embedded = await EmbeddedBroker.create({
    host: '127.0.0.1',
    port: 0,
    tls: () => served.tls,
    ...testLimits,
    ...limits,
    now: () => performance.now(),
    logger: silent,
    authenticator: new BrokerAuthenticator({
      findDevice: (address) => world.devices.findDevice(address),
      adminFingerprint: () => fingerprintOf(admin.certificate),
    }),
  });
  await embedded.open();
  world.access = embedded;
  return {
    broker: embedded,
    embedded,
    access: embedded,
    identity,
    served,
    authority,
    port: embedded.port,
    admin,
    client: clientsOf(identity, `mqtts://127.0.0.1:${String(embedded.port)}`),
    close: () => embedded.close(),
  };
}

/** The embedded broker, with every client coming by WebSocket through an HTTPS listener as the API's. */
export async function openEmbeddedWebSocket(
  world: FleetWorld,
  limits: Partial<typeof testLimits> = {},
): Promise<BrokerWorld & { readonly embedded: EmbeddedBroker }> {
  const inner = await openEmbedded(world, limits);
  const { certificate, privateKey, authorities } = inner.served.tls;
  const server = createServer({
    cert: certificate,
    key: privateKey,
    ca: [...authorities],
    requestCert: true,
    rejectUnauthorized: false,
  });
  server.on('upgrade', (request, socket, head) => inner.embedded.upgrade(request, socket, head));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    ...inner,
    port,
    client: clientsOf(inner.identity, `wss://127.0.0.1:${String(port)}/mqtt`),
    close: async () => {
      await inner.close();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

export async function openMosquitto(world: FleetWorld): Promise<BrokerWorld> {
  const program = findTool('mosquitto');
  if (program === undefined) throw new Error('mosquitto is not installed');
  const identity = await identityIn(world.folder);
  const port = await ownPort();
  const url = `mqtts://127.0.0.1:${String(port)}`;
  const folder = join(world.folder, 'mosquitto');
  const certificates = new CertificateRepository(world.control);
  const authority = await testAuthority('Test');
  const served: BrokerWorld['served'] = {
    tls: { ...identity.server, authorities: [...identity.authorities, authority.certificate] },
    issuers: [identity.issuer, new CertificateIssuer(authority)],
  };
  const files = new MosquittoFiles({
    config: {
      host: '127.0.0.1',
      port,
      folder,
      pidFile: join(world.folder, 'mosquitto.pid'),
      maxConnections: 100,
      asRoot: process.getuid?.() === 0,
    },
    tls: () => served.tls,
    revocationLists: async () => {
      const lists = served.issuers.map(async (issuer) => {
        const revoked = await certificates.revokedSerials(issuer.fingerprint, new Date(0).toISOString());
        const serials = revoked.map(({ serial, revokedAt }) => ({ serial, revokedAtMs: Date.parse(revokedAt) }));
        return issuer.revocationList(serials, Date.now());
      });
      return (await Promise.all(lists)).join('');
    },
    takeOver: (address) =>
      takeOverSession(
        {
          url,
          authorities: () => identity.authorities,
          serverName: controlPlaneServerName,
          certify: async (of, publicKey) => {
            const validity = { nowMs: Date.now(), lifetimeMs: 600_000 };
            return (await identity.issuer.issueDevice(of, publicKey, validity)).certificate;
          },
        },
        address,
      ),
    reloadCommand: undefined,
    clock: systemClock,
    logger: silent,
  });
  const broker = new ExternalBroker({
    url,
    ...(await identity.issuer.issueClient(controlPlaneName, Date.now())),
    authorities: identity.authorities,
    serverName: controlPlaneServerName,
    reconnectMs: 50,
    logger: silent,
  });
  const opened: BrokerWorld = {
    broker,
    access: files,
    identity,
    served,
    authority,
    port,
    admin: await identity.issuer.issueClient(adminName, Date.now()),
    client: clientsOf(identity, url),
    close: async () => {
      files.close();
      await broker.close();
      child.kill('SIGTERM');
      await exited;
    },
  };
  await files.write();
  const child = spawn(program, ['-c', join(folder, 'mosquitto.conf')], { stdio: ['ignore', 'ignore', 'pipe'] });
  let said = '';
  child.stderr.on('data', (data: Buffer) => {
    said += data.toString();
  });
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  await broker.open();
  await eventually(`connection to Mosquitto (${said})`, () => broker.isConnected());
  world.access = files;
  return opened;
}

function clientsOf(identity: InstallationIdentity, url: string): BrokerWorld['client'] {
  return (who, options = {}) => {
    const tls = {
      ca: identity.authority,
      servername: controlPlaneServerName,
      ...(who === undefined ? {} : { cert: who.certificate, key: who.privateKey }),
    };
    const client = connect(url, {
      clean: true,
      protocolVersion: 4,
      reconnectPeriod: 0,
      connectTimeout: 5_000,
      ...tls,
      wsOptions: tls,
      ...options,
    });
    client.on('error', () => undefined);
    return client;
  };
}

/** Resolves with what became of the connection. */
export async function outcomeOf(client: MqttClient): Promise<'connected' | 'refused'> {
  return new Promise((resolve) => {
    client.once('connect', () => resolve('connected'));
    client.once('error', () => resolve('refused'));
    client.once('close', () => resolve('refused'));
  });
}

export async function ended(client: MqttClient): Promise<void> {
  if (!client.connected) return;
  await new Promise<void>((resolve) => client.once('close', () => resolve()));
}
