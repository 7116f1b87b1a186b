/**
 * What an attacker finds: a control plane and a device at work, as built programs over real sockets. Besides, the
 * identity of a second device that is enrolled and not running, which the attacker has taken whole.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { cp, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { connect, type IClientOptions, type MqttClient } from 'mqtt';
import { generateSigningKey, type SigningKey } from '#shared/package/signing-key.js';
import { controlPlaneServerName } from '#shared/protocol/enrolment.js';
import { ownPort } from '#test/support/own-port.js';
import type { Daemon } from '#cloud/quickstart/program.js';
import { ensureInstallationIdentity, type InstallationIdentity } from '#cloud/trust/installation-identity.js';
import { audience, OidcIssuer } from '../../support/oidc-issuer.js';
import { findTool } from '../../support/outside-tool.js';
import { repository, World } from '../../support/world.js';

export const digits = join(repository, 'modules/digits');

/** PEM texts. */
export interface Shown {
  readonly certificate: string;
  readonly privateKey: string;
}

export interface ApiAnswer {
  readonly status: number;
  readonly text: string;
  readonly headers: Headers;
}

/** Topics of the device that works, of the one that the attacker has, and of one beside. */
export const victim = 'flotilla/v1/default/cam-1';
export const own = 'flotilla/v1/default/cam-2';
export const bystander = 'flotilla/v1/default/cam-3';

export class AttackSite {
  private readonly clients: MqttClient[] = [];

  private constructor(
    readonly world: World,
    readonly agent: Daemon,
    readonly scoringPort: number,
    /** The second one whom the first device trusts. */
    readonly publisher: SigningKey,
    /** What the attacker has. */
    readonly taken: Shown,
    /** Of a third device, which is attacked by nobody. */
    readonly bystander: Shown,
    readonly admin: Shown,
    /** The installation's own keys, for what only they can sign. */
    readonly identity: InstallationIdentity,
    private readonly authority: string,
    /** Whose tokens the control plane takes; there is none where the broker alone is attacked. */
    readonly oidc: OidcIssuer | undefined,
    private readonly mosquitto: ChildProcess | undefined,
  ) {}

  static async open(kind: 'embedded' | 'mosquitto'): Promise<AttackSite> {
    const oidc = kind === 'embedded' ? await OidcIssuer.start() : undefined;
    const world = await World.create(
      oidc === undefined
        ? { broker: 'external' }
        : {
            cloud: () => ({
              FLOTILLA_OIDC_ISSUER: oidc.issuer,
              FLOTILLA_OIDC_AUDIENCE: audience,
              FLOTILLA_OIDC_MAPPING: 'fleet-ops=contributor',
            }),
          },
    );
    let mosquitto: ChildProcess | undefined;
    const opening = world.open();
    if (kind === 'mosquitto') mosquitto = await startMosquitto(world);
    await opening;
    await world.flotilla('image', 'build', digits);
    const publisher = generateSigningKey();
    const token = (await world.flotillaJson('device', 'token', '--publisher', publisher.publicKey)) as {
      token: string;
    };
    await world.agentCommand('cam-1', 'enroll', '--token', token.token, '--name', 'cam-1');
    for (const device of ['cam-2', 'cam-3']) await world.enrol(device);
    const port = await ownPort();
    const agent = await world.startAgent('cam-1', port);
    for (const device of ['cam-1', 'cam-2']) {
      const wait = device === 'cam-1' ? ['--timeout', '120s'] : ['--no-wait'];
      await world.flotilla('deploy', 'digits:1', '--device', device, ...wait);
    }
    const keys = join(world.folder, 'keys-of-the-control-plane');
    await cp(join(world.dataDir, 'keys'), keys, { recursive: true });
    return new AttackSite(
      world,
      agent,
      port,
      publisher,
      await identityOf(world, 'cam-2'),
      await identityOf(world, 'cam-3'),
      await pair(join(world.dataDir, 'broker/admin')),
      await ensureInstallationIdentity({ folder: keys, names: [], hostname: 'attacker', nowMs: Date.now() }),
      await readFile(join(world.dataDir, 'keys/authority.crt'), 'utf8'),
      oidc,
      mosquitto,
    );
  }

  /** A connection that shows this certificate, or none. It gives up at the first failure. */
  mqtt(who: Shown | undefined, options: IClientOptions = {}): MqttClient {
    const client = connect(`mqtts://127.0.0.1:${String(this.world.ports.broker)}`, {
      clean: true,
      protocolVersion: 4,
      ca: this.authority,
      servername: controlPlaneServerName,
      reconnectPeriod: 0,
      connectTimeout: 10_000,
      ...(who === undefined ? {} : { cert: who.certificate, key: who.privateKey }),
      ...options,
    });
    client.on('error', () => undefined);
    this.clients.push(client);
    return client;
  }

  /** As the device that the attacker has. */
  async asTaken(options: IClientOptions = {}): Promise<MqttClient> {
    const client = this.mqtt(this.taken, { clientId: 'default/cam-2', ...options });
    if ((await outcomeOf(client)) !== 'connected') throw new Error('the rightful certificate was refused');
    return client;
  }

  /** @param token the owner's, if absent; null sends none */
  async api(path: string, init: RequestInit = {}, token: string | null = this.world.ownerToken): Promise<ApiAnswer> {
    const headers = new Headers(init.headers);
    if (token !== null) headers.set('authorization', `Bearer ${token}`);
    const response = await fetch(`${this.world.url}${path}`, { ...init, headers });
    return { status: response.status, text: await response.text(), headers: response.headers };
  }

  postJson(path: string, body: string, token?: string): Promise<ApiAnswer> {
    return this.api(path, { method: 'POST', body, headers: { 'content-type': 'application/json' } }, token);
  }

  async close(): Promise<void> {
    for (const client of this.clients) client.end(true);
    await this.world.close();
    this.mosquitto?.kill();
    await this.oidc?.stop();
  }
}

export function outcomeOf(client: MqttClient): Promise<'connected' | 'refused'> {
  return new Promise((resolve) => {
    client.once('connect', () => resolve('connected'));
    client.once('error', () => resolve('refused'));
    client.once('close', () => resolve('refused'));
  });
}

export async function eventually(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  const end = performance.now() + 60_000;
  while (!(await holds())) {
    if (performance.now() > end) throw new Error(`did not happen: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
}

/** The content of one of our checksummed files. */
export async function documentIn(path: string): Promise<Record<string, unknown>> {
  const text = await readFile(path, 'utf8');
  return JSON.parse(text.slice(text.indexOf('{'))) as Record<string, unknown>;
}

export async function identityOf(world: World, device: string): Promise<Shown> {
  const { certificate, privateKey } = await documentIn(join(world.folder, device, 'identity.json'));
  return { certificate: String(certificate), privateKey: String(privateKey) };
}

async function pair(path: string): Promise<Shown> {
  return { certificate: await readFile(`${path}.crt`, 'utf8'), privateKey: await readFile(`${path}.key`, 'utf8') };
}

/** The control plane writes its configuration, and comes up when it does. */
async function startMosquitto(world: World): Promise<ChildProcess> {
  const configuration = join(world.dataDir, 'broker/mosquitto/mosquitto.conf');
  await eventually('the configuration is written', () =>
    readFile(configuration).then(
      () => true,
      () => false,
    ),
  );
  return spawn(findTool('mosquitto') ?? 'mosquitto', ['-c', configuration], { stdio: 'ignore' });
}
