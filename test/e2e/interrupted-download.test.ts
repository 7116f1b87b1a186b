import { mkdir, readdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ownPort } from '#test/support/own-port.js';
import { maxUnacknowledgedBytes } from '#shared/protocol/blocks.js';
import { weights, writeOnnx } from '../support/onnx-writer.js';
import { World } from '../support/world.js';

const size = 3600;
const modelBytes = size * size * 4;

interface Numbers {
  readonly bytesFetched: number;
  readonly bytesResumed: number;
  readonly bytesReused: number;
  readonly bytesTotal: number;
}

/** A model of 52 MB: y = x W. */
function largeModel(seed: number): Buffer {
  return writeOnnx({
    name: 'large',
    inputs: [{ name: 'x', type: 1, shape: ['batch', size] }],
    outputs: [{ name: 'y', type: 1, shape: ['batch', size] }],
    nodes: [{ op: 'MatMul', inputs: ['x', 'w'], outputs: ['y'] }],
    initializers: [{ name: 'w', type: 1, shape: [size, size], raw: weights(size * size, 0.01, seed) }],
  });
}

/** Bytes on disk of downloads under way: holes of sparse files do not count. */
async function partialBytes(folder: string): Promise<number> {
  let sum = 0;
  for (const name of await readdir(folder).catch(() => [])) {
    const file = await stat(join(folder, name)).catch(() => undefined);
    sum += (file?.blocks ?? 0) * 512;
  }
  return sum;
}

describe('a download of 52 MB', () => {
  let world: World;
  let port: number;
  const partial = (): string => join(world.folder, 'cam-1', 'partial');
  const numbers = async (): Promise<Numbers> => {
    const device = (await world.flotillaJson('device', 'show', 'cam-1')) as {
      reported: { modules: { large: { active: { numbers: Numbers } } } };
    };
    return device.reported.modules.large.active.numbers;
  };
  /** Starts a deployment of a new model and returns when about a third of it has come. */
  const deployAndCatch = async (version: number): Promise<void> => {
    await writeFile(join(world.folder, 'large', 'model.onnx'), largeModel(version));
    await world.flotilla('model', 'register', join(world.folder, 'large', 'model.onnx'), '--name', 'large');
    await world.flotilla('image', 'build', join(world.folder, 'large'));
    await world.flotilla('deploy', `large:${String(version)}`, '--device', 'cam-1', '--no-wait');
    const deadline = performance.now() + 30_000;
    while ((await partialBytes(partial())) < modelBytes / 4) {
      if (performance.now() > deadline) throw new Error('the download did not come under way');
      await pause(2);
    }
    expect(await partialBytes(partial())).toBeLessThan(modelBytes);
  };
  const converge = (version: number): Promise<string> =>
    world.flotilla('deploy', `large:${String(version)}`, '--device', 'cam-1', '--timeout', '120s', '--probation', '0');

  beforeAll(async () => {
    world = await World.create({ operatorInProcess: true });
    port = await ownPort();
    await world.open();
    await mkdir(join(world.folder, 'large'));
    await writeFile(
      join(world.folder, 'large', 'module.yaml'),
      'schema: 1\nname: large\nflavor: onnx\nmodels:\n  - name: large\n    file: model.onnx\n',
    );
    await world.enrol('cam-1');
  });
  afterAll(() => world.close());

  it('goes on where it was after SIGKILL of the agent, fetching at most one window twice', async () => {
    const agent = await world.startAgent('cam-1', port);
    await deployAndCatch(1);
    agent.kill('SIGKILL');
    await agent.exited;
    const onDisk = await partialBytes(partial());
    await world.startAgent('cam-1', port);
    await converge(1);
    const { bytesFetched, bytesResumed, bytesTotal } = await numbers();
    console.log(
      `agent killed with ${String(onDisk)} bytes on disk; then resumed ${String(bytesResumed)}, fetched ${String(bytesFetched)} of ${String(bytesTotal)}`,
    );
    expect(bytesResumed).toBeGreaterThan(onDisk - maxUnacknowledgedBytes);
    expect(bytesFetched + bytesResumed).toBeLessThanOrEqual(bytesTotal + maxUnacknowledgedBytes);
    expect(bytesFetched).toBeLessThan(bytesTotal - bytesResumed + maxUnacknowledgedBytes);
  });

  it('goes on where it was after SIGKILL of the control plane, fetching at most one window twice', async () => {
    await deployAndCatch(2);
    world.cloud?.kill('SIGKILL');
    await world.cloud?.exited;
    await world.startCloud();
    await converge(2);
    const { bytesFetched, bytesTotal, bytesReused, bytesResumed } = await numbers();
    console.log(
      `control plane killed; fetched ${String(bytesFetched)} of ${String(bytesTotal)}, reused ${String(bytesReused)}, resumed ${String(bytesResumed)}`,
    );
    expect(bytesFetched).toBeLessThanOrEqual(bytesTotal + maxUnacknowledgedBytes);
  });
});
