import { describe, expect, it } from 'vitest';
import { AppError } from '#shared/kernel/errors.js';
import { digestOf } from '#shared/package/digest.js';
import { decodeHeader, tarBlockBytes, writeTar } from '#shared/package/tar-format.js';

const files = [
  { path: 'script.mjs', bytes: Buffer.from('export const run = () => 1;\n') },
  { path: 'golden.json', bytes: Buffer.from('[]') },
];

describe('an archive', () => {
  it('of the same files in any order is the same bytes', () => {
    expect(digestOf(writeTar(files))).toBe(digestOf(writeTar([...files].reverse())));
  });

  it('never changes its bytes from one release to the next', () => {
    expect(digestOf(writeTar(files))).toBe('sha256:c7f68f7fa9b928de2a4f6c7e3e47250fae985dc6a98f47b018b2a301c92bae90');
  });

  it('carries no time, no owner and one mode', () => {
    const header = Buffer.from(writeTar(files)).subarray(0, tarBlockBytes).toString('latin1');
    expect([header.slice(100, 107), header.slice(108, 115), header.slice(116, 123), header.slice(136, 147)]).toEqual([
      '0000444',
      '0000000',
      '0000000',
      '00000000000',
    ]);
  });

  it('with its bytes read back has the entries it was given', () => {
    expect(decodeHeader(writeTar(files).subarray(0, tarBlockBytes))).toEqual({
      kind: 'file',
      path: 'golden.json',
      size: 2,
    });
  });

  it('with a header whose checksum is wrong is refused', () => {
    const header = Buffer.from(writeTar(files).subarray(0, tarBlockBytes));
    header[0] = 0x41;
    expect(() => decodeHeader(header)).toThrow(AppError);
  });
});
