import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { batch, StorageWorld } from '#test/support/storage/storage-world.js';

const paths = ['a/1.jsonl', 'a/2.jsonl'] as const;
const sources = ['device/d/1', 'service/e/x'] as const;

/** What befalls a storage: batches that come again, and out of turn; kills in the middle of an append; deletion. */
const step = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('send' as const),
      source: fc.nat(1),
      ahead: fc.constantFrom(1, 1, 1, 1, 0, -1, 2),
      path: fc.nat(1),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('kill' as const), path: fc.nat(1) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('fail' as const), path: fc.nat(1) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('delete' as const), path: fc.nat(1) }) },
);

describe('the storage', () => {
  it('holds every batch once and whole, whatever is sent again and wherever it is killed', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 15, maxLength: 40 }), async (steps) => {
        const world = await StorageWorld.open();
        try {
          const upTo = [0, 0];
          const texts = ['', ''];
          for (const [index, one] of steps.entries()) {
            if (one.kind === 'kill') await world.killedBehind(paths[one.path] ?? '');
            else if (one.kind === 'delete') {
              await world.storage.delete('w', paths[one.path] ?? '');
              texts[one.path] = '';
            } else if (one.kind === 'fail') {
              world.failing = true;
              const next = batch((upTo[0] ?? 0) + 1, 'lost\n', { source: sources[0], path: paths[one.path] ?? '' });
              await expect(world.storage.append([next])).rejects.toThrow('full');
              world.failing = false;
            } else {
              const sequence = Math.max(1, (upTo[one.source] ?? 0) + one.ahead);
              const line = `{"n":${String(index)}}\n`;
              const [outcome] = await world.storage.append([
                batch(sequence, line, { source: sources[one.source] ?? '', path: paths[one.path] ?? '' }),
              ]);
              const last = upTo[one.source] ?? 0;
              expect(outcome).toBe(sequence <= last ? 'duplicate' : sequence === last + 1 ? 'stored' : 'gap');
              if (outcome !== 'stored') continue;
              upTo[one.source] = sequence;
              texts[one.path] += line;
            }
          }
          for (const [at, path] of paths.entries()) {
            const found = texts[at] === '' ? '' : await world.text(path);
            expect(found).toBe(texts[at]);
          }
          await world.reopen();
          expect((await world.onDisk()).length).toBe(texts.filter((text) => text !== '').length);
        } finally {
          await world.close();
        }
      }),
      { numRuns: 10 },
    );
  });
});
