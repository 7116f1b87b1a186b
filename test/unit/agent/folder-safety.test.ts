import { chmod, chown, mkdir } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { type FolderFacts, folderFault, refuseOpenFolder } from '#agent/local/folder-safety.js';
import { groupId } from '#agent/local/socket-group.js';
import { temporaryFolder } from '#test/support/temporary-folder.js';

const me = 1000;
const facts = (path: string, mode: number, uid = me): FolderFacts => ({ path, uid, mode });
const root = facts('/', 0o755, 0);

describe('a folder of the agent', () => {
  it.each<[string, readonly FolderFacts[], RegExp | undefined]>([
    ['its own alone', [facts('/var/lib/a', 0o700), root], undefined],
    ['its own, for others to read', [facts('/var/lib/a', 0o755), root], undefined],
    ['of root', [facts('/run/a', 0o755, 0), root], undefined],
    [
      'in a place that is for all, with the sticky bit',
      [facts('/tmp/a', 0o700), facts('/tmp', 0o1777, 0), root],
      undefined,
    ],
    ['of another user', [facts('/home/b', 0o700, 1001), root], /belongs to user 1001.*chown 1000 \/home\/b/],
    ['writable by its group', [facts('/run/a', 0o775), root], /writable by others.*chmod go-w \/run\/a/],
    ['writable by all', [facts('/run/a', 0o757), root], /writable by others/],
    ['in a place that is for all', [facts('/x/a', 0o700), facts('/x', 0o777), root], /\/x is writable by everyone/],
  ])('%s', (_what, chain, fault) => {
    const said = folderFault(chain, me);
    if (fault === undefined) expect(said).toBeUndefined();
    else expect(said).toMatch(fault);
  });

  const path = temporaryFolder();
  it('on disk is looked at with all that it lies in', async () => {
    await mkdir(path('outer/inner'), { recursive: true, mode: 0o700 });
    await expect(refuseOpenFolder(path('outer/inner'))).resolves.toBeUndefined();
    await chmod(path('outer'), 0o777);
    await expect(refuseOpenFolder(path('outer/inner'))).rejects.toThrow(/outer is writable by everyone/);
    await chmod(path('outer'), 0o700);
    await expect(refuseOpenFolder(path('nowhere'))).rejects.toMatchObject({ code: 'disk.failed' });
  });

  it.skipIf(process.getuid?.() !== 0)('on disk that was given to another user is refused', async () => {
    await mkdir(path('given'), { mode: 0o700 });
    await chown(path('given'), 12_345, 0);
    await expect(refuseOpenFolder(path('given'))).rejects.toThrow(/belongs to user 12345/);
  });
});

describe('the group of the socket', () => {
  it('goes by name or number', async () => {
    expect(await groupId('root')).toBe(0);
    expect(await groupId('4711')).toBe(4711);
    await expect(groupId('nobody-here')).rejects.toThrow(/no group "nobody-here".*groupadd/);
  });
});
