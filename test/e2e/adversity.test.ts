import { connect } from 'node:net';
import { chmod, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ownPort } from '#test/support/own-port.js';
import { type Daemon, ProgramFailed } from '#cloud/quickstart/program.js';
import { digestOf } from '#shared/package/digest.js';
import { weights as weightsOf, writeOnnx } from '../support/onnx-writer.js';
import { SmallDisk } from '../support/small-disk.js';
import { repository, World } from '../support/world.js';

const module = join(repository, 'modules/digits');

/** y = x W, whose bytes no other test has. */
function otherModel(): Buffer {
  const size = 100;
  return writeOnnx({
    name: 'other',
    inputs: [{ name: 'x', type: 1, shape: ['batch', size] }],
    outputs: [{ name: 'y', type: 1, shape: ['batch', size] }],
    nodes: [{ op: 'MatMul', inputs: ['x', 'w'], outputs: ['y'] }],
    initializers: [{ name: 'w', type: 1, shape: [size, size], raw: weightsOf(size * size, 0.01, 7) }],
  });
}

/** One device's bad days, and its control plane's. Every request that it answered must be counted, once. */
describe('a device and a control plane in trouble', () => {
  let world: World;
  let port: number;
  let agent: Daemon;
  let digit: Buffer;
  let weights: string;
  let cloudDisk: SmallDisk | undefined;
  let deviceDisk: SmallDisk | undefined;
  /** Requests that the device has answered with 200. */
  let asked = 0;

  const ask = async (): Promise<number> => {
    const response = await fetch(`http://127.0.0.1:${String(port)}/v2/models/digits/infer`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: digit,
    });
    await response.arrayBuffer();
    if (response.status === 200) asked += 1;
    return response.status;
  };
  const askTimes = async (times: number): Promise<void> => {
    for (let count = 0; count < times; count++) expect(await ask()).toBe(200);
  };
  const serves = (): Promise<true> =>
    agent.until('serving', 30_000, async () => ((await ask().catch(() => undefined)) === 200 ? true : undefined));
  const counted = async (): Promise<number> => {
    const body = (await world.flotillaJson('telemetry', 'cam-1', '--since', '1h')) as {
      modules: { requests: number }[];
    };
    return body.modules.reduce((total, one) => total + one.requests, 0);
  };
  const countsEverythingOnce = async (): Promise<void> => {
    await agent.until(`in the store with ${String(asked)} requests`, 40_000, async () =>
      (await counted()) >= asked ? true : undefined,
    );
    // Two further intervals bring nothing more.
    await pause(1200);
    expect(await counted()).toBe(asked);
  };
  /** A command whose record finds no room; one that found some, which the spool just left, is counted. */
  const refusedForRoom = async (): Promise<string> => {
    const input = join(module, 'fixtures/digit.json');
    for (let attempt = 0; ; attempt++) {
      const said = await world
        .flotilla('score', '--device', 'cam-1', '--module', 'digits', '--input', input)
        .catch(String);
      if (!said.includes('"model_name"') || attempt === 4) return said;
      asked += 1;
    }
  };
  const restartAgent = async (): Promise<void> => {
    agent = await world.startAgent('cam-1', port);
    await serves();
  };
  const state = (...path: string[]): string => join(world.folder, 'cam-1', ...path);

  beforeAll(async () => {
    digit = await readFile(join(module, 'fixtures/digit.json'));
    weights = digestOf(await readFile(join(module, 'model.onnx'))).replace('sha256:', '');
    // On a full disk there is no room to be reserved.
    world = await World.create({
      agents: {
        FLOTILLA_AGENT_DISK_RESERVE_MEGABYTES: '0',
        FLOTILLA_AGENT_TELEMETRY_INTERVAL_SECONDS: '0.5',
        FLOTILLA_AGENT_LINK_MAX_RECONNECT_SECONDS: '0.3',
      },
    });
    cloudDisk = await SmallDisk.mount(world.dataDir, 24);
    deviceDisk = await SmallDisk.mount(state(), 8);
    port = await ownPort();
    await world.open();
    await world.flotilla('model', 'register', join(module, 'model.onnx'), '--name', 'digits');
    await world.flotilla('image', 'build', module, '--model', 'digits:1');
    await world.enrol('cam-1');
    agent = await world.startAgent('cam-1', port);
    await world.flotilla('deploy', 'digits:1', '--device', 'cam-1', '--timeout', '60s');
  });
  afterAll(async () => {
    await Promise.allSettled([...[agent, world.cloud].map((daemon) => daemon?.stop())]);
    await cloudDisk?.unmount();
    await deviceDisk?.unmount();
    await world.close();
  });

  describe('while the control plane and its broker are away', () => {
    it('the device goes on, also over a restart of its own, and what it counted comes back once', async () => {
      await askTimes(5);
      expect(await world.cloud?.stop()).toBe('0');
      const said = await world.flotilla('device', 'list').catch(String);
      expect(said).toMatch(/server\.unreachable.*flotilla cloud/s);
      expect(said).toContain(world.url);
      await askTimes(5);
      expect(await agent.stop()).toBe('0');
      await restartAgent();
      await askTimes(5);
      expect(await world.agentCommand('cam-1', 'explain')).toMatch(/control plane|broker|connect/i);
      await world.startCloud();
      await countsEverythingOnce();
    });
  });

  describe('files of the device that rot', () => {
    it('a blob of the cache, its module gone too: is fetched again', async () => {
      await agent.stop();
      const path = state('blobs/sha256', weights);
      const bytes = await readFile(path);
      bytes[bytes.length - 10] = (bytes[bytes.length - 10] ?? 0) ^ 0xff;
      await rm(state('modules'), { recursive: true });
      await chmod(path, 0o644);
      await writeFile(path, bytes);
      await restartAgent();
      expect(digestOf(await readFile(path))).toBe(`sha256:${weights}`);
    });

    it.each([
      ['cut in half', (bytes: Buffer) => bytes.subarray(0, bytes.length / 2)],
      ['full of nulls', (bytes: Buffer) => Buffer.alloc(bytes.length)],
    ])('what it remembers, predecessors too, %s: it comes back to work', async (_how, damage) => {
      await agent.stop();
      for (const name of ['desired', 'committed', 'boot']) {
        for (const path of [state(`${name}.json`), state(`${name}.json.previous`)]) {
          const bytes = await readFile(path).catch(() => undefined);
          if (bytes !== undefined) await writeFile(path, damage(bytes));
        }
      }
      await restartAgent();
      await askTimes(2);
      expect(await world.flotilla('device', 'events', 'cam-1')).toMatch(/state\.damaged.*desired\.json/);
    });

    it('its identity: the start says how to enrol anew, and with the file back it goes on', async () => {
      await agent.stop();
      const path = state('identity.json');
      const rightful = await readFile(path);
      await writeFile(path, Buffer.alloc(rightful.length));
      const failure: unknown = await world.agentCommand('cam-1', 'run').catch((error: unknown) => error);
      if (!(failure instanceof ProgramFailed)) throw new Error('the agent ran');
      expect(failure.output).toMatch(/state\.corrupt/);
      expect(failure.output).toMatch(/flotilla device replace.*flotilla-agent enroll/s);
      await writeFile(path, rightful);
      await restartAgent();
    });

    it('and every request before, between and after is counted once', countsEverythingOnce);
  });

  describe('on a full disk', () => {
    it('the device goes on scoring, says what it waits for, and goes on by itself when there is room', async (context) => {
      if (deviceDisk === undefined) return context.skip('mounting a small file system needs root');
      await world.flotilla('model', 'register', join(module, 'model-v2.onnx'), '--name', 'digits');
      const golden = join(module, 'golden-v2.json');
      const { version } = (await world.flotillaJson(
        ...['image', 'build', module, '--model', 'digits:2', '--golden', golden],
      )) as { version: number };
      const image = `digits:${String(version)}`;

      await deviceDisk.fill();
      await askTimes(5);
      await pause(800);
      await askTimes(5);
      await world.flotilla('deploy', image, '--device', 'cam-1', '--no-wait', '--probation', '0');
      await agent.until('explaining that its disk is full', 30_000, async () =>
        /no space|disk\.full/.test(await world.agentCommand('cam-1', 'explain')) ? true : undefined,
      );
      await askTimes(5);
      expect(await deviceDisk.whileFull(() => refusedForRoom())).toMatch(/disk\.full/);

      await deviceDisk.free();
      // It stands as failed, and is waited for all the same.
      await world.flotilla('deploy', image, '--device', 'cam-1', '--timeout', '120s', '--probation', '0');
      expect(await ask()).toBe(200);
      await countsEverythingOnce();
    });

    it('the device stops when it is told to, and starts and scores again though nothing fits', async (context) => {
      if (deviceDisk === undefined) return context.skip('mounting a small file system needs root');
      await deviceDisk.fill();
      await pause(800);
      expect(await agent.stop()).toBe('0');
      await deviceDisk.fill();
      await restartAgent();
      await askTimes(5);
      await deviceDisk.free();
      await countsEverythingOnce();
    });

    it('the control plane refuses what it cannot keep, loses nothing, and goes on by itself when there is room', async (context) => {
      if (cloudDisk === undefined) return context.skip('mounting a small file system needs root');
      const path = join(world.folder, 'other.onnx');
      await writeFile(path, otherModel());
      await cloudDisk.fill();
      const register = (): Promise<string> => world.flotilla('model', 'register', path, '--name', 'other');
      expect(await register().catch(String)).toMatch(/disk\.full/);
      await askTimes(5);
      await pause(1300);
      expect(String(await world.flotilla('undeploy', 'digits', '--device', 'cam-1').catch(String))).toMatch(
        /disk\.full/,
      );
      expect(await ask()).toBe(200);

      await cloudDisk.free();
      await countsEverythingOnce();
      expect(await world.flotillaJson('model', 'show', 'digits:2')).toMatchObject({ name: 'digits', version: 2 });
      expect(await register()).toMatch(/other:1/);
    });

    it('the control plane that starts on one says so', async (context) => {
      if (cloudDisk === undefined) return context.skip('mounting a small file system needs root');
      expect(await world.cloud?.stop()).toBe('0');
      await cloudDisk.fill();
      await expect(world.startCloud()).rejects.toThrow(/disk\.full/);
      await cloudDisk.free();
      await world.startCloud();
      await agent.until('online', 30_000, async () =>
        ((await world.flotillaJson('device', 'show', 'cam-1')) as { online: boolean }).online ? true : undefined,
      );
    });
  });

  describe('told to stop', () => {
    it('both daemons end cleanly, whichever goes first, and what they had is there afterwards', async () => {
      expect(await agent.stop(8_000)).toBe('0');
      expect(await world.cloud?.stop(8_000)).toBe('0');
      await world.startCloud();
      await restartAgent();
      // The other order: the agent says goodbye to a broker that has gone.
      expect(await world.cloud?.stop(8_000)).toBe('0');
      expect(await agent.stop(8_000)).toBe('0');
      await world.startCloud();
      await restartAgent();
      await countsEverythingOnce();
    });

    it('the control plane ends its event streams, and gives an upload up that does not end', async () => {
      const headers = { authorization: `Bearer ${world.ownerToken}` };
      const events = await fetch(`${world.url}/v1/workspaces/default/events`, { headers });
      const reading = events.text();
      const upload = connect(world.ports.api, '127.0.0.1');
      const closed = new Promise<void>((resolve) => {
        upload.on('close', () => resolve());
        upload.on('error', () => undefined);
      });
      const path = `/v1/workspaces/default/blobs/sha256:${'ab'.repeat(32)}`;
      upload.write(
        `PUT ${path} HTTP/1.1\r\nhost: localhost\r\nauthorization: ${headers.authorization}\r\n` +
          `content-type: application/octet-stream\r\ncontent-length: 1000000\r\n\r\n${'x'.repeat(1000)}`,
      );
      await pause(300);
      expect(await world.cloud?.stop()).toBe('0');
      await reading;
      await closed;
      await expect(stat(join(world.dataDir, 'control.db-wal'))).rejects.toThrow(/ENOENT/);
      await world.startCloud();
    });
  });
});
