import { cp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createServer } from 'node:tls';
import { Aedes } from 'aedes';
import { connectAsync, type MqttClient } from 'mqtt';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { controlPlaneServerName } from '#shared/protocol/enrolment.js';
import { ownPort } from '#test/support/own-port.js';
import type { Daemon } from '#cloud/quickstart/program.js';
import { buildTopic } from '#shared/protocol/topics.js';
import { repository, World } from '../support/world.js';

const module = join(repository, 'modules/digits');

interface Image {
  readonly digest: string;
  readonly layers: readonly { readonly digest: string; readonly path: string }[];
}

describe('what a device refuses, with the reason in its own explain', () => {
  let world: World;
  let port: number;
  let agent: Daemon;
  const explain = (): Promise<string> => world.agentCommand('cam-1', 'explain');
  const explained = (pattern: RegExp): Promise<string> =>
    agent.until(`explaining ${String(pattern)}`, 30_000, async () => {
      const text = await explain();
      return pattern.test(text) ? text : undefined;
    });
  const version = async (): Promise<string | null> => {
    const response = await fetch(`http://127.0.0.1:${String(port)}/v2/models/digits/infer`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: await readFile(join(module, 'fixtures/digit.json')),
    });
    return response.headers.get('flotilla-version');
  };
  const control = (name: string): string => join(world.dataDir, name);

  beforeAll(async () => {
    world = await World.create({
      agents: { FLOTILLA_AGENT_LINK_MAX_RECONNECT_SECONDS: '0.3' },
      operatorInProcess: true,
    });
    port = await ownPort();
    await world.open();
    await world.flotilla('image', 'build', module);
    await world.enrol('cam-1');
    agent = await world.startAgent('cam-1', port);
    await world.flotilla('deploy', 'digits:1', '--device', 'cam-1', '--timeout', '60s');
  });
  afterAll(() => world.close());

  it('an image that a publisher signed whom it was not enrolled with', async () => {
    // The same operator's token, another person's publisher key: what a thief of the control plane has.
    const mine = join(world.folder, 'operator/keys');
    await rename(mine, `${mine}-mine`);
    const copy = join(world.folder, 'other');
    await describeAnew(copy, 'Also recognises');
    const image = (await world.flotillaJson('image', 'build', copy)) as { version: number };
    await rm(mine, { recursive: true });
    await rename(`${mine}-mine`, mine);

    const name = `digits:${String(image.version)}`;
    await expect(world.flotilla('deploy', name, '--device', 'cam-1', '--timeout', '60s')).rejects.toThrow(
      /signature\.unknown-key/,
    );
    expect(await explain()).toMatch(/publisher|signature\.unknown-key/);
    expect(await version()).toBe('1');

    // Signed here too, the very same image is taken: by the next generation, which nobody asks for.
    expect(await world.flotillaJson('image', 'build', copy)).toMatchObject({ version: image.version });
    await world.flotilla('deploy', name, '--device', 'cam-1', '--probation', '0');
    expect(await version()).toBe(String(image.version));
    await world.flotilla('deploy', 'digits:1', '--device', 'cam-1', '--probation', '0');
  });

  it('an image whose bytes were changed in the store', async () => {
    const copy = join(world.folder, 'tampered');
    await describeAnew(copy, 'Truly recognises');
    await cp(join(module, 'model-v2.onnx'), join(copy, 'model.onnx'));
    await cp(join(module, 'golden-v2.json'), join(copy, 'golden.json'));
    const image = (await world.flotillaJson('image', 'build', copy)) as Image & { version: number };
    const weights = image.layers.find(({ path }) => path.endsWith('.onnx'));
    const path = join(await blobFolder(world.dataDir), (weights?.digest ?? '').replace('sha256:', ''));
    const bytes = await readFile(path);
    bytes[bytes.length - 100] = (bytes[bytes.length - 100] ?? 0) ^ 1;
    await rm(path);
    await writeFile(path, bytes);

    await world.flotilla('deploy', `digits:${String(image.version)}`, '--device', 'cam-1', '--no-wait');
    await explained(/blob\.(corrupt|not-found|digest-mismatch)|damaged/);
    expect(await version()).toBe('1');
  });

  it('a desired document that another director key signed', async () => {
    await world.cloud?.stop();
    const key = control('keys/director.json');
    const rightful = await readFile(key);
    // Without it, the next start makes another.
    await rm(key);
    await world.startCloud();
    await world.flotilla('undeploy', 'digits', '--device', 'cam-1', '--no-wait');
    await explained(/signature\.unknown-key/);
    expect(await version()).toBe('1');

    await world.cloud?.stop();
    await writeFile(key, rightful, { mode: 0o600 });
    await world.startCloud();
    // Not waited for by the command: the device is still refusing the forged document as it comes back.
    await world.flotilla('deploy', 'digits:1', '--device', 'cam-1', '--no-wait');
    await explained(/desired +generation 8\s[\s\S]*converged +yes/);
  });

  it('an older document of its own, played back by a thief of the control plane', async () => {
    const topic = buildTopic({ channel: 'desired', workspace: 'default', device: 'cam-1' });
    const admin = await brokerAdmin(world);
    await admin.subscribeAsync(topic);
    const older = new Promise<Buffer>((resolve) => {
      admin.once('message', (_topic, payload) => resolve(payload));
    });
    await world.flotilla('undeploy', 'digits', '--device', 'cam-1', '--timeout', '60s');
    const recorded = await older;
    await admin.endAsync();
    await world.flotilla('deploy', 'digits:1', '--device', 'cam-1', '--timeout', '60s');
    await world.cloud?.stop();

    const thief = await stolenBroker(world, topic, recorded);
    try {
      await explained(/desired\.older-generation: generation [89] is older than the accepted 10/);
      expect(await version()).toBe('1');
    } finally {
      await thief.close();
    }
    await world.startCloud();
  });

  it('nothing, of a control plane restored from a backup: it goes on above what the device has', async () => {
    await world.cloud?.stop();
    const backup = join(world.folder, 'backup');
    await cp(world.dataDir, backup, { recursive: true });
    await world.startCloud();
    await world.flotilla('undeploy', 'digits', '--device', 'cam-1', '--timeout', '60s');
    await world.flotilla('deploy', 'digits:1', '--device', 'cam-1', '--timeout', '60s');
    await world.cloud?.stop();
    await rm(world.dataDir, { recursive: true });
    await rename(backup, world.dataDir);
    await world.startCloud();
    // Whether the device saw, and refused, generation 10 again depends on which of its messages comes first.
    await explained(/desired +generation 13\s[\s\S]*converged +yes/);
    expect(await version()).toBe('1');

    await world.flotilla('undeploy', 'digits', '--device', 'cam-1', '--timeout', '60s');
    expect(await version()).toBeNull();
  });
});

/** The digits module with another description: another image. */
async function describeAnew(folder: string, words: string): Promise<void> {
  await cp(module, folder, { recursive: true });
  const manifest = await readFile(join(folder, 'module.yaml'), 'utf8');
  await writeFile(join(folder, 'module.yaml'), manifest.replace('Recognises', words));
}

async function brokerAdmin(world: World): Promise<MqttClient> {
  return connectAsync(`mqtts://localhost:${String(world.ports.broker)}`, {
    ca: await readFile(join(world.dataDir, 'keys/authority.crt')),
    protocolVersion: 4,
    servername: controlPlaneServerName,
    clientId: '$admin',
    cert: await readFile(join(world.dataDir, 'broker/admin.crt')),
    key: await readFile(join(world.dataDir, 'broker/admin.key')),
  });
}

/** Whoever took the keys of the control plane can stand in its place, and says what it once said. */
async function stolenBroker(world: World, topic: string, payload: Buffer): Promise<{ close: () => Promise<void> }> {
  const broker = await Aedes.createBroker();
  broker.on('subscribe', () => {
    broker.publish({ cmd: 'publish', topic, payload, qos: 1, retain: false, dup: false }, () => undefined);
  });
  const keys = join(world.dataDir, 'keys');
  const server = createServer(
    { cert: await readFile(join(keys, 'server.crt')), key: await readFile(join(keys, 'server.key')) },
    (socket) => broker.handle(socket),
  );
  await new Promise<void>((resolve) => server.listen(world.ports.broker, '127.0.0.1', resolve));
  return {
    close: async () => {
      await new Promise<void>((resolve) => broker.close(resolve));
      await new Promise<void>((resolve) => {
        server.close(() => resolve());
      });
    },
  };
}

async function blobFolder(dataDir: string): Promise<string> {
  for (const name of await readdir(dataDir)) {
    const folder = join(dataDir, name, 'blobs/sha256');
    if (await readdir(folder).catch(() => undefined)) return folder;
  }
  return join(dataDir, 'blobs/sha256');
}
