/** What a service host relies on, whatever its replicas run as. */
import { cp, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { generateSigningKey } from '#shared/package/signing-key.js';
import { systemClock } from '#shared/kernel/clock.js';
import { PieceFolder } from '#shared/scoring/collect/piece-folder.js';
import { createLogger } from '#shared/platform/logger.js';
import type { ImageReference } from '#shared/protocol/desired.js';
import { Shutdown } from '#cloud/lifecycle/shutdown.js';
import { folderEntries, plainMode } from '#cloud/services/containers/folder-entries.js';
import { layerOf } from '#cloud/services/containers/layer.js';
import { archiveOf } from '#cloud/services/containers/replica-image.js';
import { Engine } from '#cloud/services/containers/engine.js';
import { hostConfigSchema } from '#cloud/services/host/host-config.js';
import { openRuntime } from '#cloud/services/host/open-runtime.js';
import type { ReadyImage, ReplicaRuntime, RunningReplica } from '#cloud/services/host/replica-runtime.js';
import { ServiceImages } from '#cloud/services/host/service-images.js';
import { hasEngine, startEngine, type TestEngine } from '#test/support/containers/test-engine.js';
import { makeRootFolder } from '#test/support/containers/root-folder.js';
import { digitsFolder } from '#test/support/scoring-harness.js';
import { ask, deploymentOf, signedImage } from '#test/support/services/service-world.js';
import { temporaryFolder } from '#test/support/temporary-folder.js';

const path = temporaryFolder();
const publisher = generateSigningKey();
const shutdown = new Shutdown(createLogger('test', { level: 'silent', pretty: false }));
const lines: string[] = [];
let digit: string;

interface Placed {
  readonly reference: ImageReference;
  readonly image: ReadyImage;
}

const modules = {
  digits: async (folder: string): Promise<void> => cp(digitsFolder, folder, { recursive: true }),
  /** Its golden vectors say what the model does not. */
  liar: async (folder: string): Promise<void> => {
    await cp(digitsFolder, folder, { recursive: true });
    const golden = await readFile(join(folder, 'golden.json'), 'utf8');
    await writeFile(join(folder, 'golden.json'), golden.replace(/("response":.*?"data":\[)[^,]+/, '$1 0.5'));
  },
  script: async (folder: string): Promise<void> => {
    await mkdir(folder);
    await cp(join(digitsFolder, 'model.onnx'), join(folder, 'model.onnx'));
    await writeFile(join(folder, 'module.yaml'), scriptYaml('greeter'));
    await writeFile(join(folder, 'score.mjs'), greeter);
  },
};

const scriptYaml = (name: string): string =>
  `schema: 1\nname: ${name}\nflavor: node\nentry: score.mjs\nmodels: [{ name: digits, file: model.onnx }]\n`;
const greeter = `import { networkInterfaces } from 'node:os';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
let word;
export const init = (settings) => { word = settings.word; };
const writes = (path) => { try { writeFileSync(path, 'x'); return true; } catch { return false; } };
export const run = async ({ wait, grow, look }) => {
  if (wait) await new Promise((resolve) => setTimeout(resolve, wait));
  const held = [];
  while (grow) held.push(Buffer.alloc(16 << 20, 1));
  if (!look) return { word };
  return {
    uid: process.getuid(), env: Object.keys(process.env), networks: Object.keys(networkInterfaces()),
    written: ['/x', '/flotilla/run/x', '/flotilla/module/x', '/dev/shm/../x', '/tmp/x'].filter(writes),
    seen: readdirSync('/flotilla/run'), capabilities: /CapEff:\\s*(\\S+)/.exec(readFileSync('/proc/self/status', 'utf8'))[1],
    gains: /NoNewPrivs:\\s*(\\d)/.exec(readFileSync('/proc/self/status', 'utf8'))[1],
  };
};`;

async function place(kind: keyof typeof modules): Promise<Placed> {
  await mkdir(path('modules'), { recursive: true });
  await modules[kind](path('modules', kind));
  const reference = await signedImage(path('blobs'), path('modules', kind), publisher);
  const trust = {
    version: 0,
    publishers: [publisher.publicKey],
    threshold: 1,
    directors: [],
    authorities: [],
    withdrawn: [],
  };
  const images = new ServiceImages({ blobs: path('blobs'), folder: path('images'), trust: () => trust });
  return { reference, image: await images.open('default', reference, false) };
}

let placed: Record<keyof typeof modules, Placed>;
let count = 0;

async function start(
  runtime: ReplicaRuntime,
  kind: keyof typeof modules,
  signal = new AbortController().signal,
): Promise<RunningReplica> {
  const { reference, image } = placed[kind];
  count += 1;
  return runtime.start({
    ...{ id: `r${String(count)}.0`, image, spec: deploymentOf(reference, { settings: { word: 'hello' } }) },
    ...{
      labels: { deployment: 'blue' },
      collectFolder: path('collected'),
      onLog: (line: string) => lines.push(line),
      signal,
    },
  });
}

async function open(folder: string, runtime: object): Promise<ReplicaRuntime> {
  const config = hostConfigSchema.parse({ folder, blobs: folder, drainMs: 2000, runtime });
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const opened = await openRuntime(config, { sockets: folder, version: '1.2.3', shutdown });
  await opened.runtime.clear();
  return opened.runtime;
}

const score = (replica: RunningReplica, body: object | string): ReturnType<typeof ask> =>
  ask(replica.address, '/score', typeof body === 'string' ? body : JSON.stringify(body));

function keepsTheContract(runtime: () => ReplicaRuntime): void {
  it('answers once its golden vectors agree, says whose answer it is, and what it counted, each count once', async () => {
    const replica = await start(runtime(), 'digits');
    expect(await score(replica, digit)).toMatchObject({ status: 200, headers: { 'flotilla-deployment': 'blue' } });
    expect(await replica.residentBytes()).toBeGreaterThan(10_000_000);
    expect(await replica.takeMetrics()).toMatchObject({ requests: 1, version: 1 });
    await score(replica, digit);
    expect(await replica.drain(2000)).toMatchObject({ requests: 1 });
    expect(await replica.exited).toMatchObject({ code: 'process.failed' });
    expect(await replica.takeMetrics()).toBeUndefined();
    await expect(score(replica, digit)).rejects.toThrow();
  });

  it('leaves what it is told to collect in the folder of its deployment', async () => {
    await rm(path('collected'), { recursive: true, force: true });
    const folder = new PieceFolder(path('collected'), systemClock);
    await folder.prepare();
    const rule = { rate: 1, collections: ['model_inputs' as const], redact: [], source: '/blue' };
    const bounds = { maxLineBytes: 100_000, maxPieceBytes: 100_000, maxOpenMs: 100 };
    await folder.writeRules({ schema: 1, modules: { digits: { ...rule, ...bounds } } });
    const replica = await start(runtime(), 'digits');
    const collected = async (): Promise<number> => {
      await score(replica, digit);
      return (await folder.finished()).length;
    };
    await expect.poll(collected, { timeout: 20_000, interval: 100 }).toBeGreaterThan(0);
    await folder.bound(await folder.finished(), 0);
    await score(replica, digit);
    await replica.drain(2000);
    const [last] = await folder.finished();
    expect(last && (await folder.read(last))?.toString()).toContain('"type":"azureml.inference.inputs"');
  });

  it('does not start where a golden vector is missed, and says which and that another try does not help', async () => {
    await expect(start(runtime(), 'liar')).rejects.toMatchObject({ code: 'golden.mismatch' });
  });

  it('runs user code with its settings, and answers what is under way when it is drained', async () => {
    const replica = await start(runtime(), 'script');
    const slow = score(replica, { wait: 500 });
    await score(replica, {});
    await replica.drain(5000);
    expect(JSON.parse((await slow).text)).toEqual({ word: 'hello' });
  });

  it('tells why it ended when it was killed', async () => {
    const replica = await start(runtime(), 'digits');
    await replica.kill();
    expect((await replica.exited).message).toMatch(/SIGKILL/);
    await expect(score(replica, digit)).rejects.toThrow();
  });

  it('leaves nothing of a start that is given up', async () => {
    const giveUp = new AbortController();
    const starting = start(runtime(), 'digits', giveUp.signal);
    setTimeout(() => giveUp.abort(), 100);
    await expect(starting).rejects.toMatchObject({ code: 'request.aborted' });
  });
}

beforeAll(async () => {
  placed = { digits: await place('digits'), liar: await place('liar'), script: await place('script') };
  digit = await readFile(join(digitsFolder, 'fixtures/digit.json'), 'utf8');
});
afterAll(() => shutdown.run());

describe('replicas as processes', () => {
  let runtime: ReplicaRuntime;
  beforeAll(async () => {
    runtime = await open(path('processes'), { kind: 'process' });
  });
  keepsTheContract(() => runtime);
});

describe.skipIf(!hasEngine())('replicas as containers', () => {
  let engine: TestEngine;
  let runtime: ReplicaRuntime;
  /** Of others, at an engine that was there. */
  let before: ReadonlySet<string>;
  const containers = (): object => ({
    ...{ kind: 'container', socket: engine.socket, base: { folder: path('base') } },
    ...{ memoryBytes: 256 * 2 ** 20, cpus: 1, processes: 256 },
  });
  beforeAll(async () => {
    engine = await startEngine(path('podman'));
    makeRootFolder(path('base'));
    before = new Set((await new Engine(engine.socket).images('flotilla.recipe')).map(({ Id }) => Id));
    runtime = await open(path('containers'), containers());
  });
  afterAll(() => engine.stop());

  keepsTheContract(() => runtime);

  it('keeps user code from the network, the machine and its own files, as a user without rights', async () => {
    const replica = await start(runtime, 'script');
    expect(replica.process).toMatch(/^container [0-9a-f]{12} \((docker|podman)\)$/);
    const seen = JSON.parse((await score(replica, { look: true })).text) as Record<string, unknown>;
    expect(seen).toMatchObject({
      uid: 65_532,
      networks: ['lo'],
      written: ['/tmp/x'],
      capabilities: '0000000000000000',
      gains: '1',
    });
    expect(seen['seen']).toEqual([]);
    await replica.kill();
  });

  it('stands on an image of the engine as well, and says which one is not there', async () => {
    const layer = await layerOf(
      await folderEntries(path('base'), { prefix: '', modeOf: plainMode, maxBytes: 2 ** 30 }),
    );
    const layers = [{ what: 'base', layer }];
    const { open: archive } = archiveOf({ layers, env: ['PATH=/bin'], labels: {}, tag: 'example.test/base:1' });
    await new Engine(engine.socket).loadImage(Readable.from(archive()));
    const on = (image: string): Promise<ReplicaRuntime> => open(path('on-image'), { ...containers(), base: { image } });
    const other = await on('example.test/base:1');
    const replica = await start(other, 'digits');
    expect((await score(replica, digit)).status).toBe(200);
    await replica.kill();
    // Its own, and none of the service host beside it.
    await other.collect([]);
    await expect(start(await on('example.test/other:1'), 'digits')).rejects.toMatchObject({ code: 'image.not-found' });
  });

  it('says so where it had not enough memory', async () => {
    const replica = await start(runtime, 'script');
    await score(replica, { grow: true }).catch(() => undefined);
    expect((await replica.exited).message).toMatch(/its container ran out of memory.*its script ended/);
  });

  it('makes an image once, removes it when its module is not wanted, and ends what a killed service host left', async () => {
    const images = async (): Promise<string[]> => {
      const all = await new Engine(engine.socket).images('flotilla.recipe');
      const ours = all.filter(({ Id }) => !before.has(Id));
      return ours.map(({ Labels }) => Labels['flotilla.module'] ?? '').sort();
    };
    const [digitsDigest, scriptDigest] = [placed.digits.reference.digest, placed.script.reference.digest];
    await runtime.collect([digitsDigest, scriptDigest]);
    expect(await images()).toEqual([digitsDigest, scriptDigest].sort());
    await runtime.collect([digitsDigest]);
    expect(await images()).toEqual([digitsDigest]);
    const left = await start(runtime, 'digits');
    const next = await open(path('containers'), containers());
    expect((await left.exited).code).toBe('process.failed');
    expect(await new Engine(engine.socket).containers('flotilla.service-host')).toEqual([]);
    await next.collect([]);
    expect(await images()).toEqual([]);
  });
});
