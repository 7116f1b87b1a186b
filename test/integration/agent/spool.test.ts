import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Spool } from '#agent/telemetry/spool.js';
import { StreamSender } from '#agent/telemetry/stream-sender.js';
import { systemClock } from '#shared/kernel/clock.js';
import { judgeSequence } from '#shared/protocol/stream.js';
import { until } from '#test/support/agent/fake-cloud.js';
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
  const open = (folder: string, bootId: number, maxBytes = 1_000_000) =>
    Spool.open({ kind: 'telemetry', folder, bootId, maxBytes, onDropped: () => undefined });

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

  it('drops the oldest for want of room, and says so in the next one, also after a restart', async () => {
    const folder = await freshFolder();
    const spool = await open(folder, 1, 400);
    for (let n = 0; n < 8; n++) await spool.add({ text: 'x'.repeat(60) });
    const [oldest] = spool.pending(undefined, 1);
    expect(oldest?.sequence).toBeGreaterThan(1);
    for (const one of [spool, await open(folder, 2, 400)]) {
      expect(await one.read({ bootId: 1, sequence: oldest?.sequence ?? 0 })).toMatchObject({ droppedFrom: 1 });
    }
  });

  it('says that what was acknowledged before is gone, when a restored control plane holds less', async () => {
    const folder = await freshFolder();
    const spool = await open(folder, 1);
    for (let n = 0; n < 6; n++) await spool.add({ n });
    await spool.acknowledge(1, 4);
    expect(await spool.read({ bootId: 1, sequence: 5 })).not.toHaveProperty('droppedFrom');
    await spool.acknowledge(1, 2);
    for (const one of [spool, await open(folder, 2)]) {
      expect(await one.read({ bootId: 1, sequence: 5 })).toMatchObject({ droppedFrom: 3 });
    }
    await spool.acknowledge(1, 5);
    expect(await spool.read({ bootId: 1, sequence: 6 })).not.toHaveProperty('droppedFrom');
  });

  it('clears away what a cut left, and drops a batch that is damaged', async () => {
    const folder = await freshFolder();
    const spool = await open(folder, 1);
    await spool.add({ n: 1 });
    await spool.add({ n: 2 });
    const [name] = (await readdir(folder)).sort();
    await writeFile(join(folder, name ?? ''), 'not json');
    await writeFile(join(folder, '0000000000000001-0000000000000003.json.new'), '{');
    const again = await open(folder, 2);
    expect(await again.read({ bootId: 1, sequence: 1 })).toBeUndefined();
    expect(await again.read({ bootId: 1, sequence: 2 })).toMatchObject({ droppedFrom: 1, n: 2 });
    expect((await readdir(folder)).filter((file) => file.endsWith('.new'))).toEqual([]);
  });

  it('is in the store once and without a gap, whatever is dropped, lost and restarted', async () => {
    const step = fc.constantFrom('add', 'add', 'add', 'deliver', 'lose', 'restart');
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
        const folder = await freshFolder();
        let boot = 1;
        let spool = await open(folder, boot, 300);
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
          if (one === 'add') await spool.add({ text: 'x'.repeat(50) });
          // Stored, but the acknowledgement is lost.
          if (one === 'lose') await deliver(2);
          if (one === 'deliver') {
            await deliver(2);
            for (const [bootId, sequence] of upTo) await spool.acknowledge(bootId, sequence);
          }
          if (one === 'restart') {
            boot += 1;
            spool = await open(folder, boot, 300);
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
