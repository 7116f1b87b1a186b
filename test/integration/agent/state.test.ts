import { mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { prepareStateFolder, stateFolder, type StateFolder } from '#agent/store/state-folder.js';
import { StateDocuments } from '#agent/store/state-documents.js';
import { takeStateLock } from '#agent/store/state-lock.js';
import { removeFolder } from '#test/support/agent/agent-harness.js';
import { openSpool } from '#test/support/agent/open-spool.js';

let folder: StateFolder;
const damages: string[] = [];
beforeEach(async () => {
  damages.length = 0;
  folder = stateFolder(await mkdtemp(join(tmpdir(), 'fs-')));
  await prepareStateFolder(folder);
});
afterEach(() => removeFolder(folder.root));
const documents = (): StateDocuments => new StateDocuments(folder, (path, what) => damages.push(`${path} ${what}`));

describe('the boot counter', () => {
  it('rises with every start', async () => {
    expect([await documents().nextBootId(0), await documents().nextBootId(0), await documents().nextBootId(0)]).toEqual(
      [1, 2, 3],
    );
  });

  it('repeats no number when its file is damaged', async () => {
    for (let boot = 0; boot < 3; boot++) await documents().nextBootId(0);
    await writeFile(folder.boot, 'garbage');
    expect(await documents().nextBootId(0)).toBe(4);
    expect(damages).toHaveLength(1);
  });

  it('goes on above the time and above all that is spooled when it is lost whole', async () => {
    await documents().nextBootId(0);
    await documents().nextBootId(0);
    for (const path of [folder.boot, `${folder.boot}.previous`]) await writeFile(path, '');
    const spool = await openSpool({ kind: 'events', folder: folder.spool('events'), bootId: 2_000_000_000 });
    await spool.add({});
    expect(await documents().nextBootId(1_800_000_000)).toBe(2_000_000_001);
  });
});

describe.each(['desired', 'committed', 'rejections'] as const)('the %s document', (name) => {
  const values = {
    desired: (n: number) => ({
      envelope: { payloadType: 't', payload: '', signatures: [{ keyid: String(n), sig: '' }] },
      acceptedAt: '2026-01-01T00:00:00.000Z',
    }),
    committed: (n: number) => ({ generation: n, modules: {}, kept: {} }),
    rejections: (n: number) => ({ generation: n, modules: {} }),
  };
  const write = async (n: number): Promise<void> => {
    const kept = documents();
    if (name === 'desired') await kept.desired.write(values.desired(n));
    if (name === 'committed') await kept.committed.write(values.committed(n));
    if (name === 'rejections') await kept.rejections.write(values.rejections(n));
  };
  const read = async (): Promise<unknown> => {
    const kept = documents();
    if (name === 'desired') return kept.readOrLose(kept.desired);
    if (name === 'committed') return kept.readOrLose(kept.committed);
    return kept.readOrLose(kept.rejections);
  };
  const damage: [string, (text: string) => string][] = [
    ['empty', () => ''],
    ['cut off', (text) => text.slice(0, -5)],
    ['filled with nulls', (text) => '\0'.repeat(text.length)],
    ['changed', (text) => text.replace(/\d(?=[^\d]*$)/, '7')],
    ['of another form', () => '{}'],
  ];

  it.each(damage)('that is %s gives its predecessor', async (_what, change) => {
    await write(1);
    await write(2);
    await writeFile(folder[name], change(await readFile(folder[name], 'utf8')));
    expect(await read()).toEqual(values[name](1));
    expect(damages).toHaveLength(1);
  });

  it.each(damage)('that is %s with its predecessor is lost, and said to be', async (_what, change) => {
    await write(1);
    await write(2);
    for (const path of [folder[name], `${folder[name]}.previous`])
      await writeFile(path, change(await readFile(path, 'utf8')));
    expect(await read()).toBeUndefined();
    expect(damages).toHaveLength(1);
  });
});

describe('the lock of a state folder', () => {
  it('is taken by one, and free again when it is given back', async () => {
    const lock = await takeStateLock(folder.lock);
    await expect(takeStateLock(folder.lock)).rejects.toMatchObject({ code: 'already.running' });
    await lock.release();
    const again = await takeStateLock(folder.lock);
    expect(again.tookOver).toBe(false);
    await again.release();
  });

  it.each([
    ['that died', { pid: 2 ** 22 + 1, started: 'x/1', token: 't' }],
    ['whose number another process has by now', { pid: process.pid, started: 'another-boot/1', token: 't' }],
    ['that nobody can read', 'garbage'],
  ])('is taken over from a holder %s', async (_what, holder) => {
    await writeFile(`${folder.lock}.7`, typeof holder === 'string' ? holder : JSON.stringify(holder));
    const lock = await takeStateLock(folder.lock);
    expect(lock.tookOver).toBe(true);
    await lock.release();
  });

  it('is taken by exactly one of many who start at once', async () => {
    await writeFile(`${folder.lock}.7`, 'garbage');
    for (let round = 0; round < 20; round++) await takeAtOnce();
  });

  const takeAtOnce = async (): Promise<void> => {
    const all = await Promise.allSettled(Array.from({ length: 8 }, () => takeStateLock(folder.lock)));
    expect(all.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    for (const one of all) if (one.status === 'fulfilled') await one.value.release();
  };
});

it('a state folder with too long a path is refused with the remedy', async () => {
  const long = stateFolder(join(folder.root, 'x'.repeat(100)));
  await expect(prepareStateFolder(long)).rejects.toThrow('--state-dir');
});
