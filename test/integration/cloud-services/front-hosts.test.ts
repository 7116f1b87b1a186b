import { rename } from 'node:fs/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { FrontReplica } from '#cloud/services/front/front-table.js';
import { deployment, FrontWorld } from '#test/support/front-world.js';
import { digits, post, Scoring } from '#test/support/scoring-harness.js';
import { SteadyLoad } from '#test/support/steady-load.js';
import { bindSocket } from '#shared/supervisor/listen-handle.js';
import type { ScoringHostProcess } from '#shared/supervisor/scoring-host-process.js';

const scoring = new Scoring();
const connections = 8;
let world: FrontWorld;
/** By a port, by a socket, and one that is killed. */
let hosts: readonly { readonly host: ScoringHostProcess; readonly replica: FrontReplica }[] = [];
let direct = '';

beforeAll(async () => {
  world = await FrontWorld.open();
  const [byPort, ...bySocket] = await Promise.all([onPort(), onSocket(), onSocket()]);
  hosts = [byPort, ...bySocket];
});
afterAll(async () => {
  await world.end();
  await scoring.end();
});
beforeEach(() => listed('ready', 'ready'));

async function onPort(): Promise<(typeof hosts)[number]> {
  const { host, port, url } = await scoring.serve([digits]);
  direct = url;
  return { host, replica: { id: 'by-port', address: { host: '127.0.0.1', port }, state: 'ready' } };
}

async function onSocket(): Promise<(typeof hosts)[number]> {
  const socketPath = world.socketPath();
  const bound = bindSocket(`${socketPath}.new`);
  const { host } = await scoring.serve([digits], {}, { ...bound, port: 0 });
  // The host's alone: while anyone else holds it, connections to a dead host are kept waiting.
  await rename(`${socketPath}.new`, socketPath);
  bound.close();
  return { host, replica: { id: socketPath, address: { socketPath }, state: 'ready' } };
}

function listed(...states: readonly FrontReplica['state'][]): void {
  const replicas = states.flatMap((state, index) => {
    const host = hosts[index];
    return host ? [{ ...host.replica, state }] : [];
  });
  world.apply([deployment('blue', replicas, { maxConcurrentPerReplica: connections })], { auth: { mode: 'none' } });
}

const inputs = [
  { name: 'image', shape: [1, 1, 8, 8], datatype: 'FP32', data: Array.from({ length: 64 }, (_, i) => i % 16) },
];
const body = Buffer.from(JSON.stringify({ inputs }));
const load = (): SteadyLoad => new SteadyLoad(world.url('/v2/models/digits/infer'), body, connections);

describe('a front before real scoring hosts', () => {
  it('answers what they would, with what the answer came from', async () => {
    const [through, straight] = await Promise.all([
      post(world.url('/v2/models/digits/infer'), { inputs }),
      post(`${direct}/v2/models/digits/infer`, { inputs }, { connection: 'close' }),
    ]);
    expect(Buffer.compare(through.bytes, straight.bytes)).toBe(0);
    for (const name of ['flotilla-digest', 'flotilla-model', 'flotilla-provider', 'content-type'])
      expect(through.headers.get(name), name).toBe(straight.headers.get(name));
    const wrong = await post(world.url('/score'), { nothing: 1 });
    expect([wrong.status, wrong.headers.get('ms-azureml-model-error-statuscode')]).toEqual([424, '400']);
  });

  it('takes one out and another in under load, and fails no request', async () => {
    const steady = load();
    await expect.poll(() => steady.total, { timeout: 20_000 }).toBeGreaterThan(100);
    listed('draining', 'ready', 'ready');
    await expect.poll(() => world.front.outstandingOf('by-port'), { timeout: 20_000 }).toBe(0);
    await hosts[0]?.host.drain(10_000);
    const before = steady.total;
    await expect.poll(() => steady.total, { timeout: 20_000 }).toBeGreaterThan(before + 100);
    expect(await steady.stop()).toMatchObject({ failed: 0, failures: [] });
    hosts = hosts.slice(1);
  });

  it('loses, with one that is killed, no more than that one had under way', async () => {
    const steady = load();
    await expect.poll(() => steady.total, { timeout: 20_000 }).toBeGreaterThan(100);
    const [killed] = hosts;
    const { errors } = world.front.numbers('ep-1', 'blue');
    await killed?.host.kill();
    const before = steady.total;
    await expect.poll(() => steady.total, { timeout: 20_000 }).toBeGreaterThan(before + 100);
    const { failed, failures } = await steady.stop();
    expect(failed, failures.join()).toBeLessThanOrEqual(connections);
    expect(world.front.numbers('ep-1', 'blue').errors - errors).toBe(failed);
    expect(world.sick).toContain(killed?.replica.id);
  });
});
