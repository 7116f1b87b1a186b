import { X509Certificate } from 'node:crypto';
import { cp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { importPrivateKeyPem } from '#shared/package/signing-key.js';
import type { TrustDocument } from '#shared/protocol/trust.js';
import { trustDocument } from '#agent/identity/device-trust.js';
import { identityDocument } from '#agent/identity/identity.js';
import { type StateFolder, stateFolder } from '#agent/store/state-folder.js';
import { ownPort } from '#test/support/own-port.js';
import { type Daemon, runProgram } from '#cloud/quickstart/program.js';
import { openControlDatabase } from '#cloud/store/control-database.js';
import { TrustChain } from '#cloud/trust/trust-chain.js';
import { signTrust } from '../support/trust-documents.js';
import { repository, World } from '../support/world.js';

const module = join(repository, 'modules/digits');

interface TrustView {
  readonly newest: number;
  readonly waiting: readonly { readonly device: string; readonly lacks: string }[];
  readonly devices: readonly {
    readonly device: string;
    readonly version: number;
    readonly state: string;
    readonly unsigned: readonly string[];
  }[];
}

describe('keys change hands while one device is connected and another is away', () => {
  let world: World;
  const agents = new Map<string, Daemon>();
  const ports = new Map<string, number>();

  const status = async (): Promise<TrustView> => (await world.flotillaJson('trust', 'status')) as TrustView;
  const explain = (device: string): Promise<string> => world.agentCommand(device, 'explain');
  const start = async (device: string): Promise<void> => {
    agents.set(device, await world.startAgent(device, ports.get(device) ?? 0));
  };
  const explained = async (device: string, pattern: RegExp): Promise<string> => {
    const agent = agents.get(device);
    if (agent === undefined) throw new Error(`${device} does not run`);
    return agent.until(`explaining ${String(pattern)}`, 30_000, async () => {
      const text = await explain(device).catch(() => '');
      return pattern.test(text) ? text : undefined;
    });
  };
  const goesBy = (device: string, version: number): Promise<string> =>
    explained(device, new RegExp(`trust +version ${String(version)}\\n`));
  const answering = async (device: string): Promise<string | null> => {
    const response = await fetch(`http://127.0.0.1:${String(ports.get(device) ?? 0)}/v2/models/digits/infer`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: await readFile(join(module, 'fixtures/digit.json')),
    });
    return response.headers.get('flotilla-version');
  };
  /** A host that is on its way out may still take a connection. */
  const answers = (device: string, version: string): Promise<true> =>
    (agents.get(device) as Daemon).until(`answering with version ${version}`, 30_000, async () =>
      (await answering(device).catch(() => null)) === version ? true : undefined,
    );
  const killCloud = async (): Promise<void> => {
    world.cloud?.kill('SIGKILL');
    await world.cloud?.stop();
    await world.startCloud();
  };

  beforeAll(async () => {
    world = await World.create({
      agents: { FLOTILLA_AGENT_LINK_MAX_RECONNECT_SECONDS: '0.3' },
      operatorInProcess: true,
    });
    await world.open();
    await world.flotilla('image', 'build', module);
    for (const device of ['near', 'away']) {
      ports.set(device, await ownPort());
      await world.enrol(device);
      await start(device);
      await world.flotilla('deploy', 'digits:1', '--device', device, '--timeout', '60s');
    }
    await agents.get('away')?.stop();
  }, 180_000);
  afterAll(() => world.close());

  it('a publisher: both count, images are signed anew, then the old one counts no longer', async () => {
    await world.flotilla('keys', 'rotate', '--plain');
    await world.flotilla('trust', 'propose', '--publish');
    await goesBy('near', 1);

    await expect(world.flotilla('trust', 'propose', '--withdraw', 'publisher', '--publish')).rejects.toThrow(
      /digits:1 is signed by nobody else[\s\S]*away goes by version 0/,
    );
    await world.flotilla('image', 'sign', 'digits:1', '--from', module);
    await world.flotilla('keys', 'rotate', '--finish');
    await world.flotilla('trust', 'propose', '--withdraw', 'publisher', '--publish', '--force');
    await goesBy('near', 2);
    // Its report follows what it says here.
    await expect
      .poll(async () => (await status()).devices, { timeout: 30_000 })
      .toMatchObject([
        { device: 'away', version: 0, state: 'behind' },
        { device: 'near', version: 2, state: 'ready', unsigned: [] },
      ]);
    await answers('near', '1');
  }, 120_000);

  it('the director: both sign, the control plane is killed at each step, then the new one signs alone', async () => {
    await world.flotilla('trust', 'rotate', 'director', '--begin');
    await killCloud();
    await world.flotilla('trust', 'propose', '--publish');
    await killCloud();
    await goesBy('near', 3);
    await expect(world.flotilla('trust', 'rotate', 'director', '--finish')).rejects.toThrow(/default\/away/);
    await world.flotilla('trust', 'rotate', 'director', '--finish', '--force');
    await killCloud();
    await world.flotilla('trust', 'propose', '--publish');
    await goesBy('near', 4);
    // Whoever signs now is obeyed.
    await world.flotilla('undeploy', 'digits', '--device', 'near', '--timeout', '60s');
    await world.flotilla('deploy', 'digits:1', '--device', 'near', '--timeout', '60s');
  }, 120_000);

  it('the device that was away walks through every version, and obeys the director it had never heard of', async () => {
    await world.flotilla('undeploy', 'digits', '--device', 'away', '--no-wait');
    await start('away');
    await goesBy('away', 4);
    await explained('away', /converged +yes[\s\S]*modules +none/);
    await world.flotilla('deploy', 'digits:1', '--device', 'away', '--timeout', '60s');
    await answers('away', '1');
    const states = async (): Promise<string[]> => (await status()).devices.map(({ state }) => state);
    await expect.poll(states, { timeout: 30_000 }).toEqual(['ready', 'ready']);
  }, 120_000);

  it('an image that only the withdrawn publisher signed is not installed, and its reason is told', async () => {
    const copy = join(world.folder, 'by-the-withdrawn');
    await describeAnew(copy, 'Still recognises');
    const built = (await world.flotillaJson('image', 'build', copy, '--key', 'publisher')) as { version: number };
    const name = `digits:${String(built.version)}`;
    await expect(world.flotilla('deploy', name, '--device', 'near', '--timeout', '60s')).rejects.toThrow(
      /signature\.withdrawn/,
    );
    expect(await explain('near')).toMatch(/signature\.withdrawn: .*was withdrawn/);
    await answers('near', '1');
    // A publisher who counts signs the same files: the same image is taken.
    await world.flotilla('image', 'sign', name, '--from', copy);
    await world.flotilla('deploy', name, '--device', 'near', '--timeout', '60s', '--probation', '0');
    await answers('near', String(built.version));
  }, 120_000);

  it('a thief with a copy of the whole control plane deploys nothing new, and makes nobody trust him', async () => {
    await world.cloud?.stop();
    // Elsewhere, with all its keys, on the port that the devices know.
    const rightful = `${world.dataDir}-rightful`;
    await rename(world.dataDir, rightful);
    await cp(rightful, world.dataDir, { recursive: true });
    const thief = (...args: readonly string[]): Promise<string> =>
      runProgram({
        build: join(repository, 'dist'),
        name: 'flotilla',
        args,
        env: { FLOTILLA_HOME: join(world.folder, 'thief'), HOME: world.folder },
      });
    await thief('keys', 'init', '--plain');
    await forgeTrust(
      world,
      importPrivateKeyPem(await readFile(join(world.folder, 'thief/keys/publisher.pem'), 'utf8')),
    );
    await world.startCloud();
    await thief('login', world.url, '--token', world.ownerToken);

    await explained('near', /trust +version 4\n +signature\.unknown-key/);
    // His own control plane takes what follows upon his forgery; the devices do not.
    await thief('trust', 'propose', '--publish');

    const copy = join(world.folder, 'loot');
    await describeAnew(copy, 'Steals');
    const before = await answering('away');
    const loot = JSON.parse(await thief('image', 'build', copy, '--output', 'json')) as { version: number };
    await expect(
      thief('deploy', `digits:${String(loot.version)}`, '--device', 'away', '--timeout', '60s'),
    ).rejects.toThrow(/signature\.unknown-key/);
    expect(await explain('away')).toMatch(/signature\.unknown-key: .*is refused: signed by .*trusted are/);
    expect(await answering('away')).toBe(before);
    expect(await explain('near')).toMatch(/trust +version 4\n +signature\.unknown-key/);

    await world.cloud?.stop();
    await rm(world.dataDir, { recursive: true });
    await rename(rightful, world.dataDir);
    await world.startCloud();
    await world.flotilla('deploy', 'digits:1', '--device', 'away', '--timeout', '60s');
    await answers('away', '1');
  }, 180_000);

  it('the authority: devices are led to the next one, the one that was away too, and nobody is cut off', async () => {
    const folderOf = (device: string): StateFolder => stateFolder(join(world.folder, device));
    const issuerOf = async (device: string): Promise<string> => {
      const identity = await identityDocument(folderOf(device).identity).read();
      return new X509Certificate(identity?.value.certificate ?? '').issuer;
    };
    const waiting = async (device: string): Promise<string | undefined> =>
      (await status()).waiting.find((one) => one.device === device)?.lacks;
    const waitsNot = (device: string): Promise<true> =>
      (agents.get(device) as Daemon).until('holding a certificate of the next authority', 60_000, async () =>
        (await waiting(device)) === undefined ? true : undefined,
      );
    const old = await issuerOf('near');
    const { token } = (await world.flotillaJson('device', 'token')) as { token: string };
    await agents.get('away')?.stop();

    await world.flotilla('trust', 'rotate', 'authority', '--begin');
    await killCloud();
    expect(await waiting('near')).toBe('trust');
    await world.flotilla('trust', 'propose', '--publish');
    await goesBy('near', 5);
    await waitsNot('near');
    expect(await issuerOf('near')).not.toBe(old);
    await killCloud();
    await expect(world.flotilla('trust', 'rotate', 'authority', '--finish')).rejects.toThrow(/default\/away\./);
    expect(await world.flotilla('trust', 'status')).toMatch(/away does not know the next one/);
    expect(await issuerOf('away')).toBe(old);

    // One that was away since before the beginning, and one whose token was made before it.
    await start('away');
    await goesBy('away', 5);
    await waitsNot('away');
    ports.set('late', await ownPort());
    await world.agentCommand('late', 'enroll', '--token', token, '--name', 'late');
    expect(await issuerOf('late')).not.toBe(old);
    await start('late');
    await goesBy('late', 5);
    await waitsNot('late');

    await world.flotilla('trust', 'rotate', 'authority', '--finish');
    await killCloud();
    await world.flotilla('trust', 'propose', '--publish');
    for (const device of ['near', 'away', 'late']) await goesBy(device, 6);
    // By new connections, with a restart between.
    await agents.get('near')?.stop();
    await start('near');
    await world.flotilla('undeploy', 'digits', '--device', 'near', '--timeout', '60s');
    await world.flotilla('deploy', 'digits:1', '--device', 'near', '--timeout', '60s');
    await answers('near', '1');
    const trusted = (await trustDocument(folderOf('near').trust).read())?.value.authorities ?? [];
    expect(trusted.map((pem) => new X509Certificate(pem).subject)).toEqual([await issuerOf('near')]);
  }, 240_000);
});

/** Version 5, as a thief would have it, straight into the database: his key added, signed by it alone. */
async function forgeTrust(world: World, key: Parameters<typeof signTrust>[1]): Promise<void> {
  const control = await openControlDatabase(join(world.dataDir, 'control.db'));
  try {
    const chain = new TrustChain(control);
    const newest = await chain.find('default', 4);
    if (newest === undefined) throw new Error('no version 4');
    const document = JSON.parse(Buffer.from(newest.payload, 'base64').toString('utf8')) as TrustDocument;
    const forged = { ...document, version: 5, publishers: [...document.publishers, key.publicKey] };
    await chain.add('default', { version: 5, envelope: signTrust(forged, key) }, document.issuedAt);
  } finally {
    await control.destroy();
  }
}

/** The digits module with another description: another image. */
async function describeAnew(folder: string, words: string): Promise<void> {
  await cp(module, folder, { recursive: true });
  const manifest = await readFile(join(folder, 'module.yaml'), 'utf8');
  await writeFile(join(folder, 'module.yaml'), manifest.replace('Recognises', words));
}
