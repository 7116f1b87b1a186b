import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '#shared/kernel/clock.js';
import { collectRuleSchema } from '#shared/protocol/collect.js';
import { maxMessageBytes } from '#shared/protocol/decode.js';
import { DataCollection, type DataCollectionParts } from '#agent/collect/data-collection.js';
import { prepareStateFolder, stateFolder, type StateFolder } from '#agent/store/state-folder.js';
import { collectedLine, CollectedStore, leavePiece } from '#test/support/agent/collected-pieces.js';
import { temporaryFolder } from '#test/support/temporary-folder.js';

const path = temporaryFolder();
const rule = collectRuleSchema.parse({ rate: 0.5, redact: ['x'] });
let worlds = 0;

describe('data collection of a device', () => {
  let folder: StateFolder;
  let collection: DataCollection;
  let sent: Readonly<Record<string, unknown>>[];
  let events: { type: string; message: string }[];
  let desired: { modules: Record<string, { collect?: typeof rule }> } | undefined;
  let mayGo: boolean;
  let bootId = 0;

  const open = async (collect: Partial<DataCollectionParts['collect']> = {}): Promise<void> => {
    bootId += 1;
    collection = await DataCollection.open({
      ...{ clock: systemClock, folder, address: { workspace: 'w', device: 'd' }, bootId },
      collect: { allow: true, maxSpoolBytes: 1_000_000, maxBytesPerDay: 1_000_000_000, ...collect },
      desired: () => desired as never,
      mayGo: () => mayGo,
      publish: async (message) => sent.push(message) > 0,
      raise: (event) => events.push(event),
      onError: (error) => {
        throw error;
      },
    });
    collection.linkChanged(true);
  };
  const rules = async (): Promise<unknown> =>
    (JSON.parse(await readFile(join(folder.collect, 'rules.json'), 'utf8')) as { modules: unknown }).modules;
  const acknowledge = (store: CollectedStore): void => {
    for (const message of sent.splice(0)) {
      const { bootId: boot, upTo } = store.take(message);
      collection.acknowledged(boot, upTo);
    }
  };

  beforeEach(async () => {
    worlds += 1;
    folder = stateFolder(path(`s-${String(worlds)}`));
    await prepareStateFolder(folder);
    [sent, events, desired, mayGo] = [[], [], { modules: { digits: { collect: rule }, other: {} } }, true];
    await open();
  });
  afterEach(() => collection.stop());

  it('tells hosts what the document says and sends what they leave, once, over a restart, when nothing else waits', async () => {
    expect(await rules()).toMatchObject({
      digits: { rate: 0.5, redact: ['x'], source: '/workspaces/w/devices/d/modules/digits' },
    });
    mayGo = false;
    await leavePiece(folder.collect, 1, collectedLine('a') + collectedLine('b'));
    await collection.look();
    expect([sent, collection.size.batches]).toEqual([[], 1]);
    await collection.stop();
    await open();
    mayGo = true;
    await leavePiece(folder.collect, 2, `${collectedLine('c')}{"torn`);
    await collection.look();
    const store = new CollectedStore();
    await expect.poll(() => sent.length).toBe(2);
    acknowledge(store);
    await expect.poll(() => collection.size.batches).toBe(0);
    expect(store.ids).toEqual(['a', 'b', 'c']);
  });

  it('removes what waits of a module that is to collect nothing any more', async () => {
    mayGo = false;
    await leavePiece(folder.collect, 1, collectedLine('a'));
    await collection.look();
    desired = { modules: { digits: {} } };
    await leavePiece(folder.collect, 2, collectedLine('b'));
    await collection.look();
    expect([await rules(), collection.size]).toEqual([{}, { batches: 0, bytes: 0 }]);
    mayGo = true;
    await collection.look();
    expect(sent).toEqual([]);
  });

  it('collects nothing where its owner does not allow it, and says so', async () => {
    await collection.stop();
    await open({ allow: false });
    expect(await rules()).toEqual({});
    expect(events).toEqual([expect.objectContaining({ type: 'collect.refused' })]);
    // Before it is known what is desired, too.
    desired = undefined;
    await collection.stop();
    await open();
    expect(await rules()).toEqual({});
  });

  it('keeps to its room, the oldest first, says what was lost, and sends no message that is too large', async () => {
    await collection.stop();
    mayGo = false;
    await open({ maxSpoolBytes: 120_000 });
    for (let number = 1; number <= 4; number++) {
      await leavePiece(folder.collect, number, `${'x'.repeat(40_000)}\n${collectedLine(String(number))}`);
      await collection.look();
    }
    await writeFile(join(folder.collect, 'other'), 'not a piece');
    expect(collection.size.batches).toBe(2);
    expect(events.map(({ type }) => type)).toEqual(['collect.dropped', 'collect.dropped']);
    await collection.stop();
    await open();
    await leavePiece(folder.collect, 5, collectedLine('y'.repeat(100)).repeat(300));
    mayGo = true;
    await collection.look();
    await expect.poll(() => sent.length).toBe(3);
    expect(sent[0]).toMatchObject({ sequence: 3, droppedFrom: 1 });
    for (const message of sent) expect(JSON.stringify(message).length).toBeLessThan(maxMessageBytes);
    const store = new CollectedStore();
    acknowledge(store);
    expect(store.ids.slice(0, 2)).toEqual(['3', '4']);
  });
});
