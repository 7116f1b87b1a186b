import { mkdir, open, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { brotliCompressSync, gunzipSync, gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { AppError } from '#shared/kernel/errors.js';
import { PathClaims } from '#shared/package/path-claims.js';
import { unpackArchive } from '#shared/package/unpack-archive.js';
import { writeArchive } from '#shared/package/write-archive.js';
import { gzipWith, type HostileEntry, hostileTar, paxHeader } from '#test/support/hostile-tar.js';
import { temporaryFolder } from '#test/support/temporary-folder.js';

const folder = temporaryFolder();
const limits = { maxEntries: 20, maxEntryBytes: 4096, maxTotalBytes: 10_000 };
let count = 0;

/** Unpacks into `<number>/inside`, so that what got out is found in `<number>`. */
async function unpack(archive: Uint8Array, claims = new PathClaims()): Promise<{ code: string; outer: string }> {
  const outer = folder(String(count++));
  await mkdir(join(outer, 'inside'), { recursive: true });
  await writeFile(join(outer, 'archive.tar'), archive);
  return { code: await codeOf(join(outer, 'archive.tar'), join(outer, 'inside'), claims), outer };
}

async function codeOf(archive: string, target: string, claims = new PathClaims()): Promise<string> {
  try {
    await unpackArchive(archive, target, claims, limits);
  } catch (error) {
    if (error instanceof AppError) return error.code;
    throw error;
  }
  return 'unpacked';
}

const content = Buffer.from('content');
/** Hard to compress, so that its compressed form is longer than a header. */
const sound = hostileTar([
  { path: 'a', content: Buffer.from(Array.from({ length: 3000 }, (_, i) => (i * i * 31) >> 3)) },
]);

/** The second last block is still taken for zeros by a reader that leaves out the checksum. */
function withHidden(archive: Buffer): Buffer {
  archive.write('hidden!!', archive.length - 1024 + 148, 'latin1');
  return archive;
}

describe('unpacking an archive', () => {
  it('gives the files, read-only', async () => {
    const { code, outer } = await unpack(
      hostileTar([
        { path: 'a/', type: '5' },
        { path: 'a/b/c.txt', content },
        { path: 'x', prefix: 'p/q', content },
      ]),
    );
    expect(code).toBe('unpacked');
    expect(await readFile(join(outer, 'inside', 'a', 'b', 'c.txt'), 'utf8')).toBe('content');
    expect(await readFile(join(outer, 'inside', 'p', 'q', 'x'), 'utf8')).toBe('content');
    expect((await stat(join(outer, 'inside', 'a', 'b', 'c.txt'))).mode & 0o777).toBe(0o444);
  });

  it('of what we write gives it back', async () => {
    const large = Buffer.alloc(4096, 7);
    const { code, outer } = await unpack(
      await writeArchive([
        { path: 'large', bytes: large },
        { path: 'empty', bytes: Buffer.alloc(0) },
      ]),
    );
    expect(code).toBe('unpacked');
    expect(large.equals(await readFile(join(outer, 'inside', 'large')))).toBe(true);
    expect(await readFile(join(outer, 'inside', 'empty'), 'utf8')).toBe('');
  });

  it.each<[string, HostileEntry[]]>([
    ['a path with ..', [{ path: '../out', content }]],
    ['a path with .. in the middle', [{ path: 'a/../../out', content }]],
    ['a path with .. in its prefix', [{ path: 'out', prefix: '..', content }]],
    ['an absolute path', [{ path: '/tmp/flotilla-out', content }]],
    ['a prefix that makes it absolute', [{ path: 'out', prefix: '/', content }]],
    ['a backslash', [{ path: '..\\out', content }]],
    ['a drive', [{ path: 'C:/out', content }]],
    ['an empty path', [{ path: '', content }]],
    ['a dot', [{ path: './out', content }]],
    ['a control character', [{ path: 'a\nb', content }]],
    ['a symbolic link', [{ path: 'out', type: '2', link: '/etc' }]],
    [
      'a symbolic link, and a file through it',
      [
        { path: 'l', type: '2', link: '..' },
        { path: 'l/out', content },
      ],
    ],
    ['a hard link', [{ path: 'out', type: '1', link: '/etc/passwd' }]],
    ['a character device', [{ path: 'out', type: '3' }]],
    ['a block device', [{ path: 'out', type: '4' }]],
    ['a named pipe', [{ path: 'out', type: '6' }]],
    [
      'an extension header that renames',
      [
        { path: 'x', type: 'x', content: Buffer.from('18 path=../../out\n') },
        { path: 'y', content },
      ],
    ],
    [
      'a long name of GNU tar',
      [
        { path: '././@LongLink', type: 'L', content: Buffer.from('../out\0') },
        { path: 'y', content },
      ],
    ],
    ['an extension header that gives a path with ..', [paxHeader({ path: '../out' }), { path: 'y', content }]],
    ['an extension header that gives a good path', [paxHeader({ path: 'good' }), { path: 'y', content }]],
    ['an extension header that gives another size', [paxHeader({ size: '0' }), { path: 'y', content }]],
    ['an extension header that makes a link', [paxHeader({ type: 'SymbolicLink', linkpath: '/etc' }), { path: 'y' }]],
    ['an extension header of the old form', [paxHeader({ path: '../out' }, 'X'), { path: 'y', content }]],
    ['an extension header for all entries', [paxHeader({ path: '../out', size: '0' }, 'g'), { path: 'y', content }]],
    [
      'an extension header larger than any buffer',
      [
        { path: 'x', type: 'x', size: 0o77777777777 },
        { path: 'y', content },
      ],
    ],
    [
      'an extension header without content',
      [
        { path: 'x', type: 'x' },
        { path: 'y', content },
      ],
    ],
    [
      'a long name of one byte',
      [
        { path: '././@LongLink', type: 'L', content: Buffer.from('/') },
        { path: 'y', content },
      ],
    ],
    [
      'a long name of GNU tar in the old form',
      [
        { path: '././@LongLink', type: 'N', content: Buffer.from('../out\0') },
        { path: 'y', content },
      ],
    ],
    [
      'a long link of GNU tar',
      [
        { path: '././@LongLink', type: 'K', content: Buffer.from('/etc/passwd\0') },
        { path: 'y', type: '2', link: 'x' },
      ],
    ],
    [
      'a long link of GNU tar, before a file',
      [
        { path: '././@LongLink', type: 'K', content: Buffer.from('/etc/passwd\0') },
        { path: 'y', content },
      ],
    ],
    ['a file that names a target', [{ path: 'y', content, link: '/etc/passwd' }]],
    ['a folder of GNU tar that lists its files', [{ path: 'd', type: 'D', content: Buffer.from('Yout\0\0') }]],
    ['a type that nobody knows', [{ path: 'y', type: 'Z', content }]],
    ['a letter outside ASCII', [{ path: 'é', content }]],
    ['a file whose name ends in a slash', [{ path: 'a/', content }]],
    ['no size', [{ path: 'a', size: '' }]],
    ['a sparse file', [{ path: 'out', type: 'S', content }]],
    [
      'one file twice',
      [
        { path: 'a', content },
        { path: 'a', content },
      ],
    ],
    [
      'one file twice in other letters',
      [
        { path: 'a', content },
        { path: 'A', content },
      ],
    ],
    [
      'a file below a file',
      [
        { path: 'a', content },
        { path: 'a/b', content },
      ],
    ],
    [
      'a file in the place of a folder',
      [
        { path: 'a/b', content },
        { path: 'a', content },
      ],
    ],
    [
      'a folder in the place of a file',
      [
        { path: 'a', content },
        { path: 'a', type: '5' },
      ],
    ],
    ['a folder with content', [{ path: 'a', type: '5', content }]],
    ['more bytes claimed than there are', [{ path: 'a', content, size: 4000 }]],
    ['a size that is no number', [{ path: 'a', content, size: 'abcdefghijk' }]],
    ['a negative size', [{ path: 'a', content, size: '-0000000001' }]],
    [
      'a size in the binary form',
      [{ path: 'a', content, size: '\u0080\u0000\u0000\u0000\u0000\u0000\u0000\u0000\u0000\u0000\u0000\u0007' }],
    ],
  ])('with %s is refused, and nothing gets out', async (_what, entries) => {
    const { code, outer } = await unpack(hostileTar(entries));
    expect(code).toBe('archive.unsafe');
    expect((await readdir(outer)).sort()).toEqual(['archive.tar', 'inside']);
  });

  it.each<[string, HostileEntry[]]>([
    ['too many entries', Array.from({ length: 21 }, (_, index) => ({ path: `f${String(index)}` }))],
    ['too large an entry', [{ path: 'a', content: Buffer.alloc(4097) }]],
    ['too many bytes together', ['a', 'b', 'c'].map((path) => ({ path, content: Buffer.alloc(4000) }))],
    ['too many folders', Array.from({ length: 21 }, (_, index) => ({ path: `d${String(index)}`, type: '5' }))],
    ['a claim of eight gigabytes', [{ path: 'a', content, size: 0o77777777777 }]],
  ])('with %s is refused as too large', async (_what, entries) => {
    expect((await unpack(hostileTar(entries))).code).toBe('archive.too-large');
  });

  it('with an extension header is refused by its name, before what follows is looked at', async () => {
    const archive = folder('named.tar');
    await writeFile(archive, hostileTar([paxHeader({ path: '../out' }), { path: '../y', content }]));
    await expect(unpackArchive(archive, folder(), new PathClaims(), limits)).rejects.toThrow(
      'the archive holds "PaxHeader/x", which is an extension header; only files and folders are taken',
    );
  });

  it('that ends before its entry does is refused before a byte is written', async () => {
    const { code, outer } = await unpack(hostileTar([{ path: 'a', content, size: 4000 }]));
    expect([code, await readdir(join(outer, 'inside'))]).toEqual(['archive.unsafe', []]);
  });

  it('of a gigabyte of zeros is refused before one is written', async () => {
    const outer = folder('bomb');
    await mkdir(join(outer, 'inside'), { recursive: true });
    const archive = join(outer, 'archive.tar');
    const file = await open(archive, 'w');
    await file.write(hostileTar([{ path: 'zeros', size: 2 ** 30 }], Buffer.alloc(0)));
    await file.truncate(2 ** 30 + 2048);
    await file.close();
    expect(await codeOf(archive, join(outer, 'inside'))).toBe('archive.too-large');
    expect(await readdir(join(outer, 'inside'))).toEqual([]);
  });

  it('compressed to a thousandth is refused before it is inflated', async () => {
    const bomb = gzipWith(
      hostileTar([{ path: 'a', content: Buffer.alloc(4096) }], Buffer.alloc(2 ** 25)),
      257,
      'ustar',
    );
    expect(gunzipSync(bomb).length).toBeGreaterThan(2 ** 25);
    const { code, outer } = await unpack(bomb);
    expect([code, await readdir(join(outer, 'inside'))]).toEqual(['archive.unsafe', []]);
    const again = unpackArchive(join(outer, 'archive.tar'), join(outer, 'inside'), new PathClaims(), limits);
    await expect(again).rejects.toThrow('the archive is no plain tar');
  });

  it('that is nothing but a gigabyte of zeros is refused', async () => {
    const archive = folder('zeros.tar');
    const file = await open(archive, 'w');
    await file.truncate(2 ** 30);
    await file.close();
    expect(await codeOf(archive, folder())).toBe('archive.unsafe');
  });

  it.each<[string, Uint8Array]>([
    ['empty', Buffer.alloc(0)],
    ['cut within a header', hostileTar([{ path: 'a', content }]).subarray(0, 300)],
    ['without an end', hostileTar([{ path: 'a', content }], Buffer.alloc(0))],
    [
      'followed by another',
      Buffer.concat([hostileTar([{ path: 'a', content }]), hostileTar([{ path: 'b', content }])]),
    ],
    [
      'followed by an entry after one zero block',
      Buffer.concat([hostileTar([{ path: 'a', content }], Buffer.alloc(512)), hostileTar([{ path: 'b', content }])]),
    ],
    ['ended by a block that hides bytes in its checksum', withHidden(hostileTar([{ path: 'a', content }]))],
    ['compressed by gzip', gzipSync(sound)],
    ['compressed by gzip, and looks like a tar', gzipWith(sound, 257, 'ustar\u000000')],
    ['compressed by brotli', brotliCompressSync(sound)],
    ['as long as a header and compressed by zstd', Buffer.concat([Buffer.from([0x28, 0xb5, 0x2f, 0xfd]), sound])],
    ['compressed, or claims to be,', Buffer.concat([Buffer.from([0x1f, 0x8b, 8]), Buffer.alloc(2045)])],
  ])('that is %s is refused', async (_what, archive) => {
    expect((await unpack(archive)).code).toBe('archive.unsafe');
  });

  it('over a file of another part of the image is refused', async () => {
    const claims = new PathClaims();
    claims.claimFile('module.yaml');
    expect((await unpack(hostileTar([{ path: 'MODULE.yaml', content }]), claims)).code).toBe('archive.unsafe');
  });

  it('of any files that we write gives them back', async () => {
    const path = fc.stringMatching(/^[a-z]{1,8}(\/[a-z]{1,8}){0,2}$/);
    const bytes = fc.uint8Array({ maxLength: 1200 });
    await fc.assert(
      fc.asyncProperty(fc.dictionary(path, bytes, { maxKeys: 6 }), async (files) => {
        const given = Object.entries(files).map(([name, content]) => ({ path: `${name}.txt`, bytes: content }));
        const { code, outer } = await unpack(await writeArchive(given));
        expect(code).toBe('unpacked');
        for (const file of given) {
          expect(Buffer.from(file.bytes).equals(await readFile(join(outer, 'inside', file.path)))).toBe(true);
        }
      }),
      { numRuns: 50 },
    );
  });

  it('of any damaged archive gives files or an AppError', async () => {
    const sound = hostileTar([
      { path: 'a', content },
      { path: 'd/b', content: Buffer.alloc(600, 1) },
    ]);
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(fc.nat(sound.length - 1), fc.nat(255)), { maxLength: 6 }), async (changes) => {
        const changed = Buffer.from(sound);
        for (const [at, value] of changes) changed[at] = value;
        const { code, outer } = await unpack(changed);
        expect(['unpacked', 'archive.unsafe', 'archive.too-large']).toContain(code);
        expect((await readdir(outer)).sort()).toEqual(['archive.tar', 'inside']);
      }),
      { numRuns: 150 },
    );
  });
});
