import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type CollectRule, collectRuleSchema } from '#shared/protocol/collect.js';
import { BackgroundTasks } from '#cloud/fleet/background-tasks.js';
import { Metrics } from '#cloud/http/metrics.js';
import { DataIngest } from '#cloud/storage/data-ingest.js';
import { RecordingBroker, silent } from '#test/support/fleet-world.js';
import { start, StorageWorld } from '#test/support/storage/storage-world.js';

const at = new Date(start).toISOString();
const digest = `sha256:${'1'.repeat(64)}`;
const event = (id: string, more: object = {}): object => ({
  ...{ specversion: '1.0', id, type: 'azureml.inference.inputs', datacontenttype: 'application/json', time: at },
  ...{ data: [{ name: 'x', data: [1] }], correlationid: id, xrequestid: id, modelversion: '2', modeldigest: digest },
  ...{ collectdatatype: 'tensors', agent: 'flotilla', contentrange: 'bytes 0-1/2' },
  ...more,
});
const message = (sequence: number, more: object = {}): object => ({
  ...{ schema: 1, bootId: 7, sequence, at, module: 'digits', collection: 'model_inputs' },
  events: [event(`e${String(sequence)}`)],
  ...more,
});
const path = (device: string): string =>
  `modelDataCollector/digits/${device}/model_inputs/2026/11/26/11/${device}.jsonl`;

describe('collected data of devices', () => {
  let world: StorageWorld;
  let broker: RecordingBroker;
  let ingest: DataIngest;
  let tasks: BackgroundTasks;
  let rules: Record<string, CollectRule>;
  let counted: Metrics;

  beforeEach(async () => {
    world = await StorageWorld.open();
    broker = new RecordingBroker();
    tasks = new BackgroundTasks(silent);
    counted = new Metrics();
    rules = { digits: collectRuleSchema.parse({ rate: 1, collections: ['model_inputs'] }) };
    const { storage } = world;
    ingest = new DataIngest({
      ...{ storage, broker, logger: silent, tasks, clock: { now: () => world.now } as never },
      ruleOf: async (_address, module) => (Object.hasOwn(rules, module) ? rules[module] : undefined),
      batches: counted.counter('batches', 'batches'),
    });
  });
  afterEach(() => world.close());

  const say = async (said: unknown, device = 'cam-1'): Promise<void> => {
    ingest.take({ workspace: 'w', device }, Buffer.from(JSON.stringify(said)));
    await ingest.idle();
    await tasks.idle();
  };
  const acks = (): number[] => (broker.on('acks') as { upTo: number }[]).map(({ upTo }) => upTo);

  it('lie by module, device and hour, once, with whose they are as the topic says, and are acknowledged', async () => {
    await say(message(1, { source: '/workspaces/w/devices/cam-9/modules/digits', device: 'cam-9' }));
    await say(message(1));
    await say(message(3));
    await say(
      message(2, { events: [event('e2', { source: '/workspaces/v/devices/cam-9', subject: 'theirs', evil: 1 })] }),
    );
    expect(await world.paths()).toEqual([path('cam-1')]);
    const lines = (await world.text(path('cam-1'))).trim().split('\n');
    expect(lines.map((line) => JSON.parse(line) as object)).toMatchObject(
      ['e1', 'e2'].map((id) => ({
        ...{ id, source: '/workspaces/w/devices/cam-1/modules/digits' },
        subject: `/models/digits/versions/2@${digest}`,
      })),
    );
    expect(lines.join()).not.toMatch(/cam-9|evil|theirs/);
    expect(acks()).toEqual([1, 1, 1, 2]);
    expect(broker.published.every(({ topic }) => topic === 'flotilla/v1/w/cam-1/acks')).toBe(true);
  });

  it('are not taken unasked, nor with names that lead elsewhere, nor malformed; and do not come again', async () => {
    const hostile = [
      { module: '../../v/x' },
      { module: 'digits/..' },
      { module: 'other' },
      { collection: 'model_outputs' },
      { collection: '../model_inputs' },
      { events: [event('x', { modeldigest: '../x' })] },
      { events: [event('x', { type: 'x' })] },
      { events: 'none' },
    ];
    for (const [index, more] of hostile.entries()) await say(message(index + 1, more));
    await say({ schema: 1, sequence: 'x' });
    await say([]);
    expect([await world.paths(), await world.paths('v'), await world.onDisk()]).toEqual([[], [], []]);
    expect(acks()).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
    rules = {};
    await say(message(9));
    expect(await world.paths()).toEqual([]);
  });

  it('keep to the hour that can be right, to lines that have room, and to the share of their rule', async () => {
    await say(message(1, { at: '2099-01-01T00:00:00.000Z' }));
    await say(message(2, { at: '1970-01-01T00:00:00.000Z' }));
    await say(message(3, { at: '2026-11-26T09:59:00.000Z' }));
    await say(message(4, { events: [event('long', { data: 'x'.repeat(70_000) })] }));
    expect(await world.paths()).toEqual([path('cam-1').replace('/11/cam', '/09/cam'), path('cam-1')]);
    expect(await world.text(path('cam-1'))).not.toContain('xxx');
    rules = { digits: { ...collectRuleSchema.parse({ rate: 1 }), maxBytes: 2_000 } };
    for (let sequence = 5; sequence < 20; sequence++) await say(message(sequence));
    expect((await world.text(path('cam-1'))).length).toBeLessThanOrEqual(2_000);
    expect(acks().at(-1)).toBe(19);
    expect(await counted.render()).toContain('full');
  });
});
