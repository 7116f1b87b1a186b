import { describe, expect, it } from 'vitest';
import { diskError, errno } from '#shared/platform/atomic-file.js';

const failure = (code: string): Error => Object.assign(new Error(`${code}: it failed`), { code });

describe('an error of the file system', () => {
  it.each(['ENOSPC', 'EDQUOT'])('%s says that there is no room, and what to do', (code) => {
    const error = diskError(failure(code), 'cannot write /x');
    expect(error.code).toBe('disk.full');
    expect(error.message).toBe('cannot write /x: no space left; free some and it goes on by itself');
    expect(error.cause).toBeInstanceOf(Error);
  });

  it.each([
    ['EIO', '; the disk fails: see dmesg'],
    [
      'EROFS',
      '; the file system is mounted read-only, as after an error of the disk: see dmesg, and mount it writable',
    ],
    ['EACCES', '; give the folder to the user that this runs as'],
    ['EMFILE', ''],
  ])('%s is passed on with its words, and what to do about it', (code, remedy) => {
    const error = diskError(failure(code), 'cannot write /x');
    expect(error.code).toBe('disk.failed');
    expect(error.message).toBe(`cannot write /x: ${code}: it failed${remedy}`);
  });

  it('may be anything that was thrown', () => {
    expect(diskError('odd', 'cannot write /x').message).toBe('cannot write /x: odd');
    expect(errno('odd')).toBeUndefined();
    expect(errno(Object.assign(new Error('x'), { code: 5 }))).toBeUndefined();
  });
});
