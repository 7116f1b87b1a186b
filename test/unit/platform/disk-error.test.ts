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

  it.each(['EIO', 'EROFS', 'EACCES'])('%s is passed on with its words', (code) => {
    const error = diskError(failure(code), 'cannot write /x');
    expect(error.code).toBe('disk.failed');
    expect(error.message).toBe(`cannot write /x: ${code}: it failed`);
  });

  it('may be anything that was thrown', () => {
    expect(diskError('odd', 'cannot write /x').message).toBe('cannot write /x: odd');
    expect(errno('odd')).toBeUndefined();
    expect(errno(Object.assign(new Error('x'), { code: 5 }))).toBeUndefined();
  });
});
