import { mkdir, mkdtemp, readdir, rm, symlink, writeFile, appendFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { BoundedQueue } from '#agent/routes/bounded-queue.js';
import type { LossReason, RouteItem } from '#agent/routes/payload.js';
import { type FolderPlan, FolderSource } from '#agent/routes/sources/folder-source.js';
import { systemClock } from '#shared/kernel/clock.js';

const stop = new AbortController();
let root: string;
let folder: string;
let source: FolderSource | undefined;
const problems: (string | undefined)[] = [];
let queue: BoundedQueue<RouteItem>;
let entered = 0;

function open(plan: Partial<FolderPlan> = {}, size = 100): void {
  queue = new BoundedQueue<RouteItem>({ size, maxBytes: 1024, policy: 'block' }, () => undefined);
  entered = 0;
  source = new FolderSource(
    { folder: 'camera', match: '*', whatThen: 'move', ...plan },
    {
      ...{ queue, root, clock: systemClock, maxBytes: 1000, everyMs: 20 },
      onEntered: () => {
        entered += 1;
      },
      onProblem: (problem) => problems.push(problem),
    },
  );
}

async function next(): Promise<RouteItem> {
  const item = await queue.take(stop.signal);
  if (item === undefined) throw new Error('nothing came');
  return item;
}

/** Takes one, reads it and says what became of it. */
async function answer(outcome: 'answered' | LossReason = 'answered'): Promise<string> {
  const item = await next();
  const text = (await item.load()).toString('utf8');
  item.settled(outcome);
  return `${item.source ?? ''}: ${text}`;
}

const until = async (isSo: () => Promise<boolean> | boolean): Promise<void> => {
  while (!(await isSo())) await systemClock.sleep(10);
};
const names = async (...below: string[]): Promise<string[]> => (await readdir(join(folder, ...below))).sort();

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'flotilla-folders-'));
  folder = join(root, 'camera');
  await mkdir(folder);
  problems.length = 0;
});
afterEach(async () => {
  await source?.stop();
  await rm(root, { recursive: true, force: true });
});

describe('files that are dropped in a folder', () => {
  it('come by name, and are moved away once they are answered, or cannot be', async () => {
    await writeFile(join(folder, 'a.txt'), 'one');
    await writeFile(join(folder, 'b.txt'), 'two');
    open();
    expect([await answer(), await answer('undecodable')]).toEqual(['a.txt: one', 'b.txt: two']);
    await until(async () => (await names()).join() === 'done,failed');
    expect([await names('done'), await names('failed')]).toEqual([['a.txt'], ['b.txt']]);
  });

  it('do not take the place of those that were moved before', async () => {
    open();
    for (const text of ['one', 'two']) {
      await writeFile(join(folder, 'a.txt'), text);
      await answer();
      await until(async () => !(await names()).includes('a.txt'));
    }
    expect(await names('done')).toEqual(['a.txt', 'a.txt.1']);
  });

  it('are deleted where the route says so', async () => {
    await writeFile(join(folder, 'a.txt'), 'one');
    open({ whatThen: 'delete' });
    await answer();
    await until(async () => (await names()).length === 0);
  });

  it('come once where they are kept, and again when they change', async () => {
    await writeFile(join(folder, 'a.txt'), 'one');
    open({ whatThen: 'keep' });
    await answer();
    await systemClock.sleep(100);
    expect(entered).toBe(1);
    await writeFile(join(folder, 'a.txt'), 'another');
    expect(await answer()).toBe('a.txt: another');
  });

  it('are waited for while they are written', async () => {
    const path = join(folder, 'slow.bin');
    await writeFile(path, '0');
    open();
    for (let written = 1; written < 30; written++) {
      await appendFile(path, String(written % 10));
      await systemClock.sleep(5);
    }
    expect(await answer()).toBe(`slow.bin: ${Array.from({ length: 30 }, (_, at) => at % 10).join('')}`);
  });

  it('that are 10,000 at once wait where they are, and no more of them are in hand than the queue takes', async () => {
    for (let at = 0; at < 10_000; at += 500) {
      await Promise.all(Array.from({ length: 500 }, (_, one) => writeFile(join(folder, `f${String(at + one)}`), '')));
    }
    open({ whatThen: 'delete' }, 50);
    const seen = new Set<string>();
    while (seen.size < 2000) {
      const item = await next();
      expect(queue.length).toBeLessThanOrEqual(50);
      seen.add(item.source ?? '');
      item.settled('answered');
    }
    expect(entered).toBeLessThanOrEqual(2051);
    await source?.stop();
    expect((await names()).length).toBeGreaterThan(7000);
  });

  it('that are too large, or gone meanwhile, are told as that', async () => {
    await writeFile(join(folder, 'large'), 'x'.repeat(1001));
    await writeFile(join(folder, 'went'), 'x');
    open();
    await expect((await next()).load()).rejects.toMatchObject({ reason: 'too-large' });
    const went = await next();
    await rm(join(folder, 'went'));
    await expect(went.load()).rejects.toMatchObject({ reason: 'gone' });
  });

  it('whose names begin with a dot, do not match, or that are links or folders are left alone', async () => {
    await writeFile(join(root, 'secret.png'), 'outside');
    await writeFile(join(folder, '.half.png'), 'x');
    await writeFile(join(folder, 'b.txt'), 'x');
    await symlink(join(root, 'secret.png'), join(folder, 'link.png'));
    await mkdir(join(folder, 'sub.png'));
    await writeFile(join(folder, 'a.png'), 'mine');
    open({ match: '*.png' });
    expect(await answer()).toBe('a.png: mine');
    await systemClock.sleep(60);
    expect(entered).toBe(1);
  });

  it('are not looked for through a link that leads out of the root', async () => {
    const outside = await mkdtemp(join(tmpdir(), 'flotilla-outside-'));
    await writeFile(join(outside, 'a.txt'), 'x');
    await rm(folder, { recursive: true });
    await symlink(outside, folder);
    open();
    await until(() => problems.some((problem) => problem?.includes('leads out of') === true));
    expect(entered).toBe(0);
    await rm(outside, { recursive: true });
  });

  it('that wait when their route ends stay for the next', async () => {
    await writeFile(join(folder, 'a.txt'), 'one');
    open();
    (await next()).settled('gone');
    await source?.stop();
    expect(await names()).toEqual(['a.txt']);
    open();
    expect(await answer()).toBe('a.txt: one');
  });
});
