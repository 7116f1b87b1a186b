/** The same broker port on the embedded broker and on a real Mosquitto, for tests that hold for both. */
import { spawn } from 'node:child_process';
import { writeFile, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { connect, type IClientOptions, type MqttClient } from 'mqtt';
import { controlPlaneServerName } from '#shared/protocol/enrolment.js';
import type { Broker } from '#cloud/mqtt/broker.js';
import { BrokerAuthenticator } from '#cloud/mqtt/broker-authenticator.js';
import { hashPassword, newSecret, PasswordVerifier } from '#cloud/mqtt/broker-password.js';
import type { DeviceAccess } from '#cloud/mqtt/device-access.js';
import { EmbeddedBroker } from '#cloud/mqtt/embedded-broker.js';
import { ExternalBroker } from '#cloud/mqtt/external-broker.js';
import { mosquittoConfig, MosquittoFiles } from '#cloud/mqtt/mosquitto-files.js';
import { freePort } from '#cloud/quickstart/free-port.js';
import type { InstallationIdentity } from '#cloud/trust/installation-identity.js';
import { eventually, type FleetWorld, identityIn, silent } from './fleet-world.js';
import { findTool } from './outside-tool.js';

export interface BrokerWorld {
  readonly broker: Broker;
  readonly access: DeviceAccess;
  readonly identity: InstallationIdentity;
  readonly port: number;
  readonly adminPassword: string;
  client(options: IClientOptions): MqttClient;
  close(): Promise<void>;
}

export async function identityFor(world: FleetWorld): Promise<InstallationIdentity> {
  return identityIn(world.folder);
}

export async function openEmbedded(world: FleetWorld, maxConnections = 100): Promise<BrokerWorld> {
  const identity = await identityFor(world);
  const adminPassword = newSecret();
  const broker = await EmbeddedBroker.create({
    host: '127.0.0.1',
    port: 0,
    certificate: identity.server.certificate,
    privateKey: identity.server.privateKey,
    maxConnections,
    connectTimeoutMs: 5_000,
    logger: silent,
    authenticator: new BrokerAuthenticator({
      findDevice: (address) => world.devices.findCredential(address),
      adminPassword,
      passwords: new PasswordVerifier(),
      decoyHash: await hashPassword(newSecret()),
    }),
  });
  await broker.open();
  world.access = broker;
  return {
    broker,
    access: broker,
    identity,
    port: broker.port,
    adminPassword,
    client: clientsOf(identity, () => broker.port),
    close: () => broker.close(),
  };
}

export async function openMosquitto(world: FleetWorld): Promise<BrokerWorld> {
  const program = findTool('mosquitto');
  if (program === undefined) throw new Error('mosquitto is not installed');
  const identity = await identityFor(world);
  const adminPassword = newSecret();
  const cloudPassword = newSecret();
  const { port } = await freePort(0);
  const pidFile = join(world.folder, 'mosquitto.pid');
  const files = new MosquittoFiles({
    folder: world.folder,
    pidFile,
    accounts: {
      cloudUser: 'cloud',
      cloudHash: await hashPassword(cloudPassword),
      adminHash: await hashPassword(adminPassword),
    },
    listDevices: () => world.devices.listEnrolled(),
    logger: silent,
  });
  await files.write();
  const config = join(world.folder, 'mosquitto.conf');
  const lines = mosquittoConfig({
    host: '127.0.0.1',
    port,
    folder: world.folder,
    certificateFile: identity.serverCertificateFile,
    privateKeyFile: identity.serverPrivateKeyFile,
    pidFile,
    maxConnections: 100,
    asRoot: process.getuid?.() === 0,
  });
  await writeFile(config, lines);
  const child = spawn(program, ['-c', config], { stdio: ['ignore', 'ignore', 'pipe'] });
  let said = '';
  child.stderr.on('data', (data: Buffer) => {
    said += data.toString();
  });
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const broker = new ExternalBroker({
    url: `mqtts://127.0.0.1:${String(port)}`,
    userName: 'cloud',
    password: cloudPassword,
    authority: identity.authority,
    serverName: controlPlaneServerName,
    reconnectMs: 50,
    logger: silent,
  });
  await broker.open();
  await eventually(`connection to Mosquitto (${said})`, () => broker.isConnected());
  world.access = {
    // Mosquitto reads its files a moment after the signal.
    enrolled: async () => {
      await files.enrolled();
      await settle(pidFile);
    },
    retired: async () => {
      await files.retired();
      await settle(pidFile);
    },
    revoked: async () => {
      await files.revoked();
      await settle(pidFile);
    },
  };
  return {
    broker,
    access: world.access,
    identity,
    port,
    adminPassword,
    client: clientsOf(identity, () => port),
    close: async () => {
      await broker.close();
      child.kill('SIGTERM');
      await exited;
    },
  };
}

/** Connects as a device or another user over TLS, checking the certificate as a device does. */
function clientsOf(identity: InstallationIdentity, port: () => number): (options: IClientOptions) => MqttClient {
  return (options) => {
    const client = connect(`mqtts://127.0.0.1:${String(port())}`, {
      clean: true,
      protocolVersion: 4,
      ca: identity.authority,
      servername: controlPlaneServerName,
      reconnectPeriod: 0,
      connectTimeout: 5_000,
      ...options,
    });
    client.on('error', () => undefined);
    return client;
  };
}

async function settle(pidFile: string): Promise<void> {
  await readFile(pidFile);
  await new Promise((resolve) => setTimeout(resolve, 200));
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
