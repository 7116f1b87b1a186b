import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { encodeMessage } from '#shared/protocol/decode.js';
import { addToSketch, emptySketch, encodeSketch } from '#shared/protocol/sketch.js';
import { BackgroundTasks } from '#cloud/fleet/background-tasks.js';
import { Metrics } from '#cloud/http/metrics.js';
import { LiveEvents } from '#cloud/live/live-events.js';
import { builtProgram } from '#cloud/lifecycle/built-program.js';
import { TelemetryIngest } from '#cloud/telemetry/telemetry-ingest.js';
import type { ReceivedBatch } from '#cloud/telemetry/telemetry-port.js';
import { TelemetryRepository } from '#cloud/telemetry/telemetry-repository.js';
import { TelemetryWorkerClient } from '#cloud/telemetry/telemetry-worker-client.js';
import { addressOf, RecordingBroker, SetClock, silent } from '#test/support/fleet-world.js';

const at = '2026-01-01T00:00:00.000Z';
const digest = `sha256:${'0'.repeat(64)}`;

function telemetry(sequence: number, values: readonly number[], extra: object = {}): Uint8Array {
  const latency = emptySketch();
  for (const value of values) addToSketch(latency, value);
  return encodeMessage({
    schema: 1,
    bootId: 1,
    sequence,
    at,
    intervalMs: 1000,
    generation: 1,
    modules: {
      digits: {
        digest,
        version: 1,
        provider: 'cpu',
        requests: values.length,
        errors: { 'score.timeout': 1 },
        latencyMs: encodeSketch(latency),
      },
    },
    ...extra,
  });
}

const received = (payload: Uint8Array, receivedAt = 1_000): ReceivedBatch => ({
  ...addressOf('d'),
  kind: 'telemetry',
  receivedAt,
  payload,
});

describe('the telemetry store', () => {
  let folder: string;
  let store: TelemetryRepository;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'flotilla-telemetry-'));
    store = await TelemetryRepository.open(join(folder, 'telemetry.db'));
  });
  afterEach(async () => {
    await store.close();
    await rm(folder, { recursive: true, force: true });
  });

  it('merges the sketches of a span into quantiles', async () => {
    const low = Array.from({ length: 50 }, () => 1);
    const high = Array.from({ length: 50 }, () => 100);
    await store.ingest([received(telemetry(1, low)), received(telemetry(2, high))]);
    const { modules, batches } = await store.telemetry({ ...addressOf('d'), fromMs: 0 });
    expect(batches).toBe(2);
    expect(modules).toHaveLength(1);
    expect(modules[0]).toMatchObject({
      module: 'digits',
      requests: 100,
      errors: { 'score.timeout': 2 },
      provider: 'cpu',
    });
    expect(modules[0]?.latencyMs.p50).toBeCloseTo(1, 1);
    expect(modules[0]?.latencyMs.p99).toBeGreaterThan(98);
    expect(modules[0]?.latencyMs).toMatchObject({ max: 100, mean: 50.5 });
  });

  it('answers a gap with where it stands, and stores nothing of it', async () => {
    await store.ingest([received(telemetry(1, [1]))]);
    const { acks, counts } = await store.ingest([received(telemetry(3, [1]))]);
    expect(counts).toMatchObject({ gap: 1, stored: 0 });
    expect(acks.map(({ ack }) => ack.upTo)).toEqual([1]);
  });

  it('goes on over a range that the device says it dropped, and counts it', async () => {
    await store.ingest([received(telemetry(1, [1]))]);
    const { acks } = await store.ingest([received(telemetry(10, [1], { droppedFrom: 2 }))]);
    expect(acks.map(({ ack }) => ack.upTo)).toEqual([10]);
    expect((await store.telemetry({ ...addressOf('d'), fromMs: 0 })).dropped).toBe(8);
  });

  it('lets a batch that no schema fits not stop the stream, and counts it as dropped', async () => {
    const { acks, counts } = await store.ingest([
      received(encodeMessage({ bootId: 1, sequence: 1, modules: 'none' })),
      received(telemetry(2, [1])),
    ]);
    expect(counts).toMatchObject({ malformed: 1, stored: 1, dropped: 1 });
    expect(acks.map(({ ack }) => ack.upTo)).toEqual([2]);
  });

  it('forgets old rows and not how far it was, so that an old batch is not stored again', async () => {
    await store.ingest([received(telemetry(1, [1]), 1_000), received(telemetry(2, [1]), 5_000)]);
    expect(await store.prune(2_000)).toBe(1);
    expect((await store.telemetry({ ...addressOf('d'), fromMs: 0 })).batches).toBe(1);
    expect((await store.ingest([received(telemetry(1, [1]), 6_000)])).counts.duplicate).toBe(1);
  });

  it('pages events, newest first', async () => {
    const events = Array.from({ length: 5 }, (_, n) => ({ at, level: 'info', type: 't', message: `m${String(n)}` }));
    const payload = encodeMessage({ schema: 1, bootId: 1, sequence: 1, at, events });
    await store.ingest([{ ...received(payload), kind: 'events' }]);
    const first = await store.events({ ...addressOf('d'), limit: 3 });
    expect(first.events.map(({ message }) => message)).toEqual(['m4', 'm3', 'm2']);
    const second = await store.events({ ...addressOf('d'), limit: 3, before: first.next ?? 0 });
    expect(second.events.map(({ message }) => message)).toEqual(['m1', 'm0']);
    expect(second.next).toBeUndefined();
  });

  it('shows a device nothing of another', async () => {
    await store.ingest([received(telemetry(1, [1]))]);
    expect((await store.telemetry({ ...addressOf('e'), fromMs: 0 })).modules).toEqual([]);
    expect((await store.telemetry({ workspace: 'other', device: 'd', fromMs: 0 })).modules).toEqual([]);
  });
});

describe('telemetry on its way to the store', () => {
  const world = (store: ConstructorParameters<typeof TelemetryIngest>[0]['store']) => {
    const broker = new RecordingBroker();
    const tasks = new BackgroundTasks(silent);
    const live = new LiveEvents(() => undefined);
    const ingest = new TelemetryIngest({
      store,
      broker,
      live,
      clock: new SetClock(),
      logger: silent,
      tasks,
      batches: new Metrics().counter('x', 'x'),
    });
    return { broker, tasks, live, ingest };
  };

  it('is acknowledged after the commit through the worker thread, once per stream', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'flotilla-telemetry-'));
    const store = await TelemetryWorkerClient.start({
      entry: pathToFileURL(builtProgram('telemetry/telemetry-worker.js')),
      databasePath: join(folder, 'telemetry.db'),
      onFailure: (error) => {
        throw error;
      },
    });
    const { broker, tasks, live, ingest } = world(store);
    const seen: unknown[] = [];
    live.subscribe('w', (event) => seen.push(event.subject));
    for (const sequence of [1, 2, 3]) ingest.take(addressOf('d'), 'telemetry', telemetry(sequence, [1]));
    const event = { at, level: 'warn', type: 'module.crashed', message: 'x' };
    ingest.take(addressOf('d'), 'events', encodeMessage({ schema: 1, bootId: 1, sequence: 1, at, events: [event] }));
    await ingest.idle();
    await tasks.idle();
    expect(broker.on('acks')).toEqual([
      { schema: 1, kind: 'telemetry', bootId: 1, upTo: 3 },
      { schema: 1, kind: 'events', bootId: 1, upTo: 1 },
    ]);
    expect(seen).toEqual(['d']);
    expect((await store.telemetry({ ...addressOf('d'), fromMs: 0 })).batches).toBe(3);
    await store.close();
    await rm(folder, { recursive: true, force: true });
  });

  it('is not acknowledged when the store fails, and is taken when it comes again', async () => {
    let fail = true;
    const broken = {
      ingest: async () => {
        if (fail) throw new Error('disk full');
        return {
          acks: [{ ...addressOf('d'), ack: { schema: 1 as const, kind: 'telemetry' as const, bootId: 1, upTo: 1 } }],
          events: [],
          counts: { stored: 1, duplicate: 0, gap: 0, malformed: 0, dropped: 0 },
        };
      },
      telemetry: () => Promise.reject(new Error('unused')),
      events: () => Promise.reject(new Error('unused')),
      eraseWorkspace: async () => undefined,
      prune: async () => 0,
      close: async () => undefined,
    };
    const { broker, tasks, ingest } = world(broken);
    ingest.take(addressOf('d'), 'telemetry', telemetry(1, [1]));
    await ingest.idle();
    expect(broker.published).toEqual([]);
    fail = false;
    ingest.take(addressOf('d'), 'telemetry', telemetry(1, [1]));
    await ingest.idle();
    await tasks.idle();
    expect(broker.on('acks')).toHaveLength(1);
  });

  it('names what is wrong with a database that cannot be opened', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'flotilla-telemetry-'));
    const start = TelemetryWorkerClient.start({
      entry: pathToFileURL(builtProgram('telemetry/telemetry-worker.js')),
      databasePath: folder,
      onFailure: () => undefined,
    });
    await expect(start).rejects.toMatchObject({ code: 'disk.failed' });
    await rm(folder, { recursive: true, force: true });
  });
});
