import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Dropped, SpoolOptions } from '#agent/telemetry/spool.js';
import { spoolFilePath } from '#agent/telemetry/spool-folder.js';
import { StreamSender } from '#agent/telemetry/stream-sender.js';
import { systemClock } from '#shared/kernel/clock.js';
import { judgeSequence } from '#shared/protocol/stream.js';
import { until } from '#test/support/agent/fake-cloud.js';
import { openSpool } from '#test/support/agent/open-spool.js';
import { temporaryFolder } from '#test/support/temporary-folder.js';

describe('the spool', () => {
  const path = temporaryFolder();
  let made = 0;
  const freshFolder = async (): Promise<string> => {
    made += 1;
    const folder = path(`spool-${String(made)}`);
    await mkdir(folder, { recursive: true });
    return folder;
  };
  const open = (folder: string, bootId: number, more: Partial<SpoolOptions> = {}) =>
    openSpool({ folder, bootId, ...more });
  /** Four of them fill a file of the smallest spool, which has room for four files. */
  const kilobyte = { text: 'x'.repeat(900) };
  const small = { maxBytes: 16 * 1024 };

  it('keeps batches over restarts, in the order of boots and sequences', async () => {
    const folder = await freshFolder();
    const first = await open(folder, 9);
    await first.add({ n: 1 });
    await first.add({ n: 2 });
    const second = await open(folder, 10);
    await second.add({ n: 3 });
    expect(second.pending(undefined, 10)).toMatchObject([
      { bootId: 9, sequence: 1 },
      { bootId: 9, sequence: 2 },
      { bootId: 10, sequence: 1 },
    ]);
    expect(await second.read({ bootId: 9, sequence: 2 })).toEqual({ schema: 1, bootId: 9, sequence: 2, n: 2 });
  });

  it('drops the oldest for want of room, and says so in a batch of the last number, also after a restart', async () => {
    const folder = await freshFolder();
    const said: Dropped[] = [];
    const spool = await open(folder, 1, { ...small, onDropped: (dropped) => said.push(dropped) });
    for (let n = 0; n < 30; n++) await spool.add(kilobyte);
    expect(spool.size.bytes).toBeLessThanOrEqual(small.maxBytes + 4096);
    const upTo = said.at(-1)?.sequence ?? 0;
    expect(said[0]).toMatchObject({ bootId: 1, from: 1, reason: 'room' });
    for (const one of [spool, await open(folder, 2, small)]) {
      const [word, ...rest] = one.pending(undefined, 100);
      expect(word).toEqual({ bootId: 1, sequence: upTo });
      expect(await one.read({ bootId: 1, sequence: upTo })).toMatchObject({
        sequence: upTo,
        droppedFrom: 1,
        dropReason: 'room',
        modules: {},
      });
      expect(rest.map(({ sequence }) => sequence)).toEqual(Array.from({ length: 30 - upTo }, (_, n) => upTo + 1 + n));
    }
  });

  it('tells what it dropped of an earlier boot of which nothing is left', async () => {
    const folder = await freshFolder();
    const first = await open(folder, 1, small);
    await first.add(kilobyte);
    await first.add(kilobyte);
    const second = await open(folder, 2, small);
    for (let n = 0; n < 16; n++) await second.add(kilobyte);
    expect(await second.read({ bootId: 1, sequence: 2 })).toMatchObject({ droppedFrom: 1, dropReason: 'room' });
    await second.acknowledge(1, 2);
    expect(await second.read({ bootId: 1, sequence: 2 })).toBeUndefined();
    expect((await open(folder, 3, small)).pending(undefined, 1)).toMatchObject([{ bootId: 2 }]);
  });

  it('drops what is older than it may be by the age of the device, whatever the clock on the wall says', async () => {
    const folder = await freshFolder();
    let lived = 1_000;
    const old = { maxAgeSeconds: 160, lived: () => lived };
    const spool = await open(folder, 1, old);
    await spool.add({ n: 1 });
    lived += 100;
    await spool.add({ n: 2 });
    lived += 61;
    expect(await spool.read({ bootId: 1, sequence: 2 })).toMatchObject({ n: 2 });
    expect(await spool.read({ bootId: 1, sequence: 1 })).toMatchObject({ droppedFrom: 1, dropReason: 'age' });
    lived += 100;
    // Also after a restart, and though nothing was added.
    const again = await open(folder, 2, old);
    expect(await again.read({ bootId: 1, sequence: 2 })).toMatchObject({ droppedFrom: 1, dropReason: 'age' });
  });

  it('takes what an age clock that was lost cannot have seen as new', async () => {
    const folder = await freshFolder();
    await (await open(folder, 1, { lived: () => 5_000 })).add({ n: 1 });
    let lived = 0;
    const again = await open(folder, 2, { lived: () => lived, maxAgeSeconds: 100 });
    expect(await again.read({ bootId: 1, sequence: 1 })).toMatchObject({ n: 1 });
    lived = 101;
    expect(await again.read({ bootId: 1, sequence: 1 })).toMatchObject({ dropReason: 'age' });
  });

  it('remembers over a restart what was acknowledged', async () => {
    const folder = await freshFolder();
    const spool = await open(folder, 1);
    for (let n = 1; n <= 6; n++) await spool.add({ n });
    await spool.acknowledge(1, 4);
    expect((await open(folder, 2)).pending(undefined, 10).map(({ sequence }) => sequence)).toEqual([5, 6]);
  });

  it('says that what was acknowledged before is gone, when a restored control plane holds less', async () => {
    const folder = await freshFolder();
    const spool = await open(folder, 1);
    for (let n = 0; n < 6; n++) await spool.add({ n });
    await spool.acknowledge(1, 4);
    expect(await spool.read({ bootId: 1, sequence: 5 })).not.toHaveProperty('droppedFrom');
    await spool.acknowledge(1, 2);
    expect(await spool.read({ bootId: 1, sequence: 5 })).toMatchObject({ droppedFrom: 3 });
    // After a restart it no longer knows what was acknowledged, only that nothing before it will come.
    expect(await (await open(folder, 2)).read({ bootId: 1, sequence: 5 })).toMatchObject({ droppedFrom: 1 });
    await spool.acknowledge(1, 5);
    expect(await spool.read({ bootId: 1, sequence: 6 })).not.toHaveProperty('droppedFrom');
  });

  it.each([
    ['changed in a digit', (bytes: Buffer) => Buffer.from(bytes.toString().replace('"n":2', '"n":7')), [1, 3]],
    ['cut off in its last line', (bytes: Buffer) => bytes.subarray(0, -3), [1, 2]],
    ['full of nulls at its end', (bytes: Buffer) => Buffer.concat([bytes.subarray(0, -9), Buffer.alloc(9)]), [1, 2]],
    ['full of nulls', (bytes: Buffer) => Buffer.alloc(bytes.length), []],
    ['empty', () => Buffer.alloc(0), []],
  ])('of a file that is %s keeps what is whole', async (_how, damage, left) => {
    const folder = await freshFolder();
    const spool = await open(folder, 1);
    for (let n = 1; n <= 3; n++) await spool.add({ n });
    const [name = ''] = await readdir(folder);
    await writeFile(join(folder, name), damage(await readFile(join(folder, name))));
    await writeFile(join(folder, `${name}.new`), 'half a fi');
    const again = await open(folder, 2);
    expect(again.pending(undefined, 10).map(({ sequence }) => sequence)).toEqual(left);
    const last = left.at(-1);
    if (last === 3) expect(await again.read({ bootId: 1, sequence: 3 })).toMatchObject({ droppedFrom: 2, n: 3 });
    expect((await readdir(folder)).filter((file) => file.endsWith('.new'))).toEqual([]);
  });

  it('drops a batch that rots while it waits, and says so in the next one', async () => {
    const folder = await freshFolder();
    const said: Dropped[] = [];
    const spool = await open(folder, 1, { onDropped: (dropped) => said.push(dropped) });
    for (let n = 1; n <= 3; n++) await spool.add({ n });
    const [name = ''] = await readdir(folder);
    const bytes = await readFile(join(folder, name), 'utf8');
    await writeFile(join(folder, name), bytes.replace('"n":2', '"n":7'));
    expect(await spool.read({ bootId: 1, sequence: 2 })).toBeUndefined();
    expect(await spool.read({ bootId: 1, sequence: 3 })).toMatchObject({ droppedFrom: 2, n: 3 });
    expect(said).toMatchObject([{ from: 2, sequence: 2, reason: 'damage' }]);
  });

  it('opens whatever bytes lie in its files', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 4 }), fc.nat(), async (files, at) => {
        const folder = await freshFolder();
        const spool = await open(folder, 1);
        for (let n = 1; n <= 4; n++) await spool.add({ n });
        const [name = ''] = await readdir(folder);
        const bytes = await readFile(join(folder, name));
        bytes[at % bytes.length] = (bytes[at % bytes.length] ?? 0) ^ 0x55;
        await writeFile(join(folder, name), bytes);
        for (const [index, content] of files.entries()) {
          await writeFile(spoolFilePath(folder, { bootId: 2, sequence: index + 1 }, 'batches'), content);
        }
        const again = await open(folder, 3);
        // One changed byte can take two batches with it: when it is the mark between them.
        expect(again.size.batches).toBeGreaterThanOrEqual(2);
        for (const one of again.pending(undefined, 10)) expect(await again.read(one)).toMatchObject(one);
      }),
      { numRuns: 60 },
    );
  });

  it('is in the store once and without a gap, whatever is dropped, lost and restarted', async () => {
    const step = fc.constantFrom('add', 'add', 'add', 'deliver', 'lose', 'restart');
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
        const folder = await freshFolder();
        let boot = 1;
        let spool = await open(folder, boot, small);
        const upTo = new Map<number, number>();
        const stored = new Set<string>();
        const deliver = async (limit: number): Promise<void> => {
          for (const name of spool.pending(undefined, limit)) {
            const batch = (await spool.read(name)) as { sequence: number; droppedFrom?: number } | undefined;
            if (batch === undefined) continue;
            const verdict = judgeSequence(batch, upTo.get(name.bootId) ?? 0);
            expect(verdict).not.toBe('gap');
            if (verdict === 'store') {
              const key = `${String(name.bootId)}/${String(name.sequence)}`;
              expect(stored.has(key)).toBe(false);
              stored.add(key);
              upTo.set(name.bootId, name.sequence);
            }
          }
        };
        for (const one of steps) {
          if (one === 'add') await spool.add(kilobyte);
          // Stored, but the acknowledgement is lost.
          if (one === 'lose') await deliver(2);
          if (one === 'deliver') {
            await deliver(2);
            for (const [bootId, sequence] of upTo) await spool.acknowledge(bootId, sequence);
          }
          if (one === 'restart') {
            boot += 1;
            spool = await open(folder, boot, small);
          }
        }
        await deliver(100);
      }),
      { numRuns: 40 },
    );
  });

  it('is sent in order within the window, and again from the oldest after a reconnect', async () => {
    const spool = await open(await freshFolder(), 1);
    for (let n = 0; n < 10; n++) await spool.add({ n });
    const sent: number[] = [];
    const sender = new StreamSender(
      spool,
      {
        clock: systemClock,
        publish: async (message) => {
          sent.push(message['sequence'] as number);
          return true;
        },
        onError: (error) => {
          throw error;
        },
      },
      { window: 4, patienceMs: 10_000 },
    );
    sender.linkChanged(true);
    await until('a window', () => sent.length === 4);
    await sender.acknowledged(1, 2);
    await until('two more', () => sent.length === 6);
    sender.linkChanged(false);
    sender.linkChanged(true);
    await until('again', () => sent.length === 10);
    expect(sent).toEqual([1, 2, 3, 4, 5, 6, 3, 4, 5, 6]);
    await sender.acknowledged(1, 10);
    expect(spool.size.batches).toBe(0);
    await sender.stop();
  });
});
