import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { batch, hour, start, StorageWorld } from '#test/support/storage/storage-world.js';
import { errorCodeOf } from '#test/support/agent/error-code.js';

describe('the storage of a workspace', () => {
  let world: StorageWorld;
  beforeEach(async () => {
    world = await StorageWorld.open();
  });
  afterEach(() => world.close());

  it('lists by prefix and page, reads what counts, and keeps workspaces apart', async () => {
    const paths = ['m/a/1.jsonl', 'm/a/2.jsonl', 'm/ab/1.jsonl', 'n/1.jsonl'];
    await world.storage.append(paths.map((path, index) => batch(index + 1, `${path}\n`, { path })));
    await world.storage.append([batch(1, 'theirs\n', { workspace: 'v', path: 'm/a/1.jsonl' })]);
    expect(await world.paths('w', 'm/a/')).toEqual(['m/a/1.jsonl', 'm/a/2.jsonl']);
    expect((await world.storage.list('w', 'm/', 2, 'm/a/1.jsonl')).map(({ path }) => path)).toEqual(paths.slice(1, 3));
    expect(await world.text('m/a/1.jsonl')).toBe('m/a/1.jsonl\n');
    expect(await world.text('m/a/1.jsonl', 'v')).toBe('theirs\n');
    expect(await errorCodeOf(world.storage.read('v', 'n/1.jsonl'))).toBe('data.not-found');
    for (const path of ['../v/m/a/1.jsonl', '/etc/passwd', 'm/../../v/m/a/1.jsonl', '']) {
      expect(await errorCodeOf(world.storage.read('w', path))).toBe('data.not-found');
    }
    await expect(world.storage.append([batch(9, 'x', { path: '../v/x', droppedFrom: 1 })])).rejects.toThrow(
      'not a path',
    );
  });

  it('deletes what begins so, with the folders it leaves empty, and what comes later begins anew', async () => {
    await world.storage.append([batch(1, 'one\n'), batch(2, 'two\n', { path: 'b/1.jsonl' })]);
    expect(await world.storage.delete('w', 'a/')).toEqual({ files: 1, bytes: 4 });
    expect(await world.paths()).toEqual(['b/1.jsonl']);
    expect(await world.storage.append([batch(2, 'again\n'), batch(3, 'three\n')])).toEqual(['duplicate', 'stored']);
    expect(await world.text('a/1.jsonl')).toBe('three\n');
    await world.storage.erase('w');
    expect([await world.paths(), await world.onDisk()]).toEqual([[], []]);
  });

  it('lets go what nothing was added to for long, then the oldest hours until there is room', async () => {
    await world.storage.append([batch(1, 'x'.repeat(50), { path: 'old/1.jsonl' })]);
    world.now = start + 3_600_000;
    const parts = [3, 1, 2].map((age) => ({
      ...{ path: `h${String(age)}/1.jsonl`, hour: hour - age, bytes: Buffer.alloc(100, 'y') },
    }));
    await world.storage.append([{ ...batch(2, ''), parts }]);
    const before = new Date(start + 1).toISOString();
    expect(await world.storage.thin({ maxBytes: 250, before })).toEqual({ files: 2, bytes: 150 });
    expect(await world.paths()).toEqual(['h1/1.jsonl', 'h2/1.jsonl']);
    expect(await world.storage.use()).toEqual({ files: 2, bytes: 200 });
  });

  it('goes on where a file was lost, as in a backup without it', async () => {
    await world.storage.append([batch(1, 'one\n')]);
    await rm(join(world.folder, 'storage/w/a/1.jsonl'));
    await world.reopen();
    expect(await errorCodeOf(world.storage.read('w', 'a/1.jsonl'))).toBe('data.not-found');
    await world.storage.append([batch(2, 'two\n')]);
    expect(await world.text('a/1.jsonl')).toBe('two\n');
  });
});
