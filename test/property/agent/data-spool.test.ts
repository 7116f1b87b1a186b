import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { PieceFolder } from '#shared/scoring/collect/piece-folder.js';
import { DataSpool } from '#agent/collect/data-spool.js';
import { collectedLine, CollectedStore, leavePiece } from '#test/support/agent/collected-pieces.js';
import { temporaryFolder } from '#test/support/temporary-folder.js';

const path = temporaryFolder();
let runs = 0;

const step = fc.oneof(
  fc.constant('piece' as const),
  fc.constant('send' as const),
  fc.constant('send unheard' as const),
  fc.constant('kill' as const),
);

describe('a spool of collected data', () => {
  it('gives every line to the control plane once, whatever answers are lost and wherever it is killed', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 30 }), async (steps) => {
        runs += 1;
        const incoming = new PieceFolder(path(`in-${String(runs)}`), { monotonic: () => 0 });
        await mkdir(incoming.path, { recursive: true });
        const folder = join(path(`spool-${String(runs)}`));
        const store = new CollectedStore();
        const ids: string[] = [];
        let bootId = 1;
        let spool = await DataSpool.open({ folder, bootId, maxBytes: 1_000_000 });
        const send = async (heard: boolean): Promise<void> => {
          for (const name of spool.pending(undefined, 100)) {
            const message = await spool.read(name);
            if (message === undefined) continue;
            const ack = store.take(message);
            if (heard) await spool.acknowledge(ack.bootId, ack.upTo);
          }
        };
        for (const [index, one] of [...steps, 'send' as const].entries()) {
          if (one === 'piece') {
            ids.push(String(index));
            await leavePiece(incoming.path, index, collectedLine(String(index)));
            for (const piece of await incoming.finished()) await spool.add(piece, incoming.path);
          } else if (one === 'kill') {
            bootId += 1;
            spool = await DataSpool.open({ folder, bootId, maxBytes: 1_000_000 });
          } else await send(one === 'send');
        }
        expect(store.ids.toSorted()).toEqual(ids.toSorted());
        expect(spool.size.batches).toBe(0);
      }),
      { numRuns: 15 },
    );
  });
});
