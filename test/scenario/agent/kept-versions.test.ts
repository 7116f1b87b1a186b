import { cp, mkdir, mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { RunningAgent } from '#agent/main.js';
import { stateFolder } from '#agent/store/state-folder.js';
import { StateDocuments } from '#agent/store/state-documents.js';
import { buildModule, type BuiltModule, enrolledFolder, removeFolder, run } from '#test/support/agent/agent-harness.js';
import { FakeCloud, until } from '#test/support/agent/fake-cloud.js';
import { weights, writeOnnx } from '#test/support/onnx-writer.js';
import { SmallDisk } from '#test/support/small-disk.js';

const size = 600;
/** Of the weights, which the blob and the module's folder share. */
const versionBytes = size * size * 4;

/** y = x W: of another seed, of other bytes. */
function model(seed: number): Buffer {
  return writeOnnx({
    name: 'wide',
    inputs: [{ name: 'x', type: 1, shape: ['batch', size] }],
    outputs: [{ name: 'y', type: 1, shape: ['batch', size] }],
    nodes: [{ op: 'MatMul', inputs: ['x', 'w'], outputs: ['y'] }],
    initializers: [{ name: 'w', type: 1, shape: [size, size], raw: weights(size * size, 0.01, seed) }],
  });
}

describe('a device that keeps versions for a return, on a disk that holds two and not three', () => {
  let cloud: FakeCloud;
  let origin: string;
  let state: string;
  let disk: SmallDisk | undefined;
  let agent: RunningAgent | undefined;
  const versions: BuiltModule[] = [];

  beforeAll(async () => {
    cloud = await FakeCloud.start();
    origin = await enrolledFolder(cloud);
    const layout = join(origin, 'layout');
    cloud.layouts.push(layout);
    for (const version of [1, 2, 3]) {
      const moduleFolder = join(origin, `wide-${String(version)}`);
      await mkdir(moduleFolder);
      await writeFile(join(moduleFolder, 'model.onnx'), model(version));
      const manifest = { schema: 1, name: 'wide', flavor: 'onnx', models: [{ name: 'wide', file: 'model.onnx' }] };
      await writeFile(join(moduleFolder, 'module.yaml'), JSON.stringify(manifest));
      versions.push(await buildModule({ moduleFolder, layout, publisher: cloud.publisher, version }));
    }
    state = await mkdtemp(join(tmpdir(), 'fa-'));
    disk = await SmallDisk.mount(state, Math.ceil((2.6 * versionBytes) / 2 ** 20));
    for (const name of ['identity.json', 'trust.json']) await cp(join(origin, name), join(state, name));
  });
  afterAll(async () => {
    await agent?.stop();
    await cloud.close();
    await disk?.unmount();
    await removeFolder(state);
    await removeFolder(origin);
  });

  it('gives up the one that is furthest back for the download of the next', async (context) => {
    if (disk === undefined) return context.skip('mounting a small file system needs root');
    agent = await run(state, { 'disk.reserveMegabytes': '0' });
    const kept = async (): Promise<(number | undefined)[]> => {
      const documents = new StateDocuments(stateFolder(state), () => undefined);
      const ways = (await documents.committed.read())?.value.kept['wide'] ?? [];
      return ways.map(({ image }) => image.version);
    };
    for (const [index, { module }] of versions.entries()) {
      const update = { keepVersions: 2, maxDeferSeconds: 600 };
      cloud.publishDesired(cloud.desiredOf(index + 1, { wide: { ...module, update } }));
      await until('converged', () => cloud.state.converged && cloud.state.generation === index + 1, 40_000);
      if (index === 1) expect(await kept()).toEqual([1]);
    }
    expect(await kept()).toEqual([2]);
    expect(cloud.state.modules['wide']).toMatchObject({ active: { version: 3 }, previous: { version: 2 } });
  });
});
