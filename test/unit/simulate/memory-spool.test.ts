import { expect, test } from 'vitest';
import { MemorySpool } from '#agent/simulate/memory-spool.js';
import { judgeSequence } from '#shared/protocol/stream.js';

test('what there is no room for is dropped from the front, and the next batch says so: the store sees no gap', async () => {
  const spool = new MemorySpool(7);
  for (let n = 0; n < 40; n++) spool.add({ n });
  const names = spool.pending(undefined, 100);
  expect(names[0]).toEqual({ bootId: 7, sequence: 9 });
  const first = await spool.read({ bootId: 7, sequence: 9 });
  expect(first).toMatchObject({ bootId: 7, sequence: 9, droppedFrom: 1, n: 8 });
  expect(judgeSequence({ sequence: 9, droppedFrom: 1 }, 0)).toBe('store');
  await spool.acknowledge(7, 9);
  expect(await spool.read({ bootId: 7, sequence: 10 })).not.toHaveProperty('droppedFrom');
  await spool.acknowledge(6, 40);
  expect([spool.size.batches, spool.stored]).toEqual([31, 1]);
});
