import { Header } from 'tar';
import { describe, expect, it } from 'vitest';
import { digestOf } from '#shared/package/digest.js';
import { writeArchive } from '#shared/package/write-archive.js';

const files = [
  { path: 'script.mjs', bytes: Buffer.from('export const run = () => 1;\n') },
  { path: 'golden.json', bytes: Buffer.from('[]') },
];

describe('an archive', () => {
  it('of the same files in any order is the same bytes', async () => {
    expect(digestOf(await writeArchive(files))).toBe(digestOf(await writeArchive([...files].reverse())));
  });

  it('never changes its bytes from one release to the next', async () => {
    expect(digestOf(await writeArchive(files))).toBe(
      'sha256:0ede5a0ef132a5b701a894b7b24ceecc855a40299c1cc4f5050110f7b8626df4',
    );
  });

  it('carries no time, no owner and one mode', async () => {
    const header = new Header(Buffer.from(await writeArchive(files)));
    expect(header).toMatchObject({ path: 'golden.json', size: 2, mode: 0o444, uid: 0, gid: 0, uname: '', gname: '' });
    expect([header.mtime, header.atime, header.ctime]).toEqual([new Date(0), undefined, undefined]);
  });

  it('of many files, large and empty ones among them, is whole: a header, full blocks, and two zero blocks', async () => {
    const sizes = [0, 1, 511, 512, 513, 0, 100_000, 3_000_000, 7, 0];
    const archive = await writeArchive(
      sizes.map((size, index) => ({ path: `f${String(index)}`, bytes: Buffer.alloc(size, 1) })),
    );
    expect(archive.length).toBe(sizes.reduce((sum, size) => sum + 512 + Math.ceil(size / 512) * 512, 1024));
    expect(archive.subarray(-1024).every((byte) => byte === 0)).toBe(true);
  });

  it.each([
    ['too long a name', 'x'.repeat(101)],
    ['too long a path', `${'d/'.repeat(130)}x`],
    ['a letter outside ASCII', 'é.json'],
  ])('with %s in it is not written, rather than with an extension header', async (_what, path) => {
    await expect(writeArchive([{ path, bytes: Buffer.alloc(1) }])).rejects.toThrow('not plain for a tar header');
  });
});
