import { appendFile, mkdir, rename, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { beforeEach, describe, expect, it } from 'vitest';
import { fingerprintOf, watchSources } from '#cloud/serve/source-watch.js';
import { temporaryFolder } from '#test/support/temporary-folder.js';

const path = temporaryFolder();

describe('the fingerprint of sources', () => {
  beforeEach(async () => {
    await rm(path('module'), { recursive: true, force: true });
    await mkdir(path('module', 'lib'), { recursive: true });
    await mkdir(path('module', 'node_modules'));
    await writeFile(path('module', 'module.yaml'), 'schema: 1');
    await utimes(path('module', 'module.yaml'), 1, 1);
    await writeFile(path('module', 'lib', 'words.ts'), 'one');
  });

  it.each([
    ['a file in a folder below is written', () => appendFile(path('module', 'lib', 'words.ts'), 'two')],
    ['a file is replaced by one of the same size and time', replaceAlike],
    ['a file comes', () => writeFile(path('module', 'new.ts'), '')],
    ['a file goes', () => rm(path('module', 'lib', 'words.ts'))],
    ['the folder goes', () => rm(path('module'), { recursive: true })],
  ])('changes when %s', async (_what, change) => {
    const before = await fingerprintOf([path('module')]);
    expect(await fingerprintOf([path('module')])).toBe(before);
    await change();
    expect(await fingerprintOf([path('module')])).not.toBe(before);
  });

  it.each([
    ['installed packages', ['node_modules', 'x.js']],
    ['hidden files', ['.words.ts.swp']],
  ])('does not change with %s', async (_what, parts) => {
    const before = await fingerprintOf([path('module')]);
    await writeFile(path('module', ...parts), 'x');
    expect(await fingerprintOf([path('module')])).toBe(before);
  });

  it('ends where links lead in circles', async () => {
    await symlink('..', path('module', 'lib', 'up'));
    await symlink('..', path('module', 'lib', 'back'));
    expect(await fingerprintOf([path('module')])).toMatch(/^sha256:/);
  });

  it('of a bare model takes in the weights beside it, and nothing else', async () => {
    await writeFile(path('a.onnx'), 'a');
    const before = await fingerprintOf([path('a.onnx')]);
    await writeFile(path('b.onnx'), 'b');
    expect(await fingerprintOf([path('a.onnx')])).toBe(before);
    await writeFile(path('a.onnx.data'), 'weights');
    expect(await fingerprintOf([path('a.onnx')])).not.toBe(before);
  });
});

describe('a watch', () => {
  it('tells of a change once, when it lies still, and ends with its signal', async () => {
    await mkdir(path('watched'));
    const stop = new AbortController();
    const told: number[] = [];
    let looks = 0;
    const clock = {
      now: () => 0,
      monotonic: () => 0,
      // Between two looks: a file that grows for three of them, then nothing.
      sleep: async (): Promise<void> => {
        looks += 1;
        if (looks >= 3 && looks < 6) await appendFile(path('watched', 'model.onnx'), 'piece');
        if (looks === 12) stop.abort();
      },
    };
    const known = await fingerprintOf([path('watched')]);
    await watchSources([path('watched')], known, { everyMs: 1, clock, signal: stop.signal }, () => {
      told.push(looks);
      return Promise.resolve();
    });
    expect(told).toEqual([6]);
  });

  it('tells of what changed before it began, while what it watches was read', async () => {
    const known = await fingerprintOf([path('watched')]);
    await appendFile(path('watched', 'model.onnx'), 'late');
    const stop = new AbortController();
    let looks = 0;
    const clock = {
      now: () => 0,
      monotonic: () => 0,
      sleep: (): Promise<void> => {
        looks += 1;
        if (looks === 5) stop.abort();
        return Promise.resolve();
      },
    };
    const told: number[] = [];
    await watchSources([path('watched')], known, { everyMs: 1, clock, signal: stop.signal }, () => {
      told.push(looks);
      return Promise.resolve();
    });
    expect(told).toEqual([2]);
  });
});

async function replaceAlike(): Promise<void> {
  await writeFile(path('other'), 'schema: 2');
  await utimes(path('other'), 1, 1);
  await rename(path('other'), path('module', 'module.yaml'));
}
