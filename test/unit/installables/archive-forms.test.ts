import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { list } from 'tar';
import { describe, expect, it } from 'vitest';
import { arFile } from '#scripts/installables/ar-file.js';
import { elfMachine } from '#scripts/installables/elf-file.js';
import { productionPackages } from '#scripts/installables/locked-packages.js';
import { platforms } from '#scripts/installables/platforms.js';
import { checkIntegrity } from '#scripts/installables/registry-package.js';
import { everyTime, type TarEntry, writeTarGz } from '#scripts/installables/tar-gz.js';
import { temporaryFolder } from '../../support/temporary-folder.js';

const path = temporaryFolder();
const entries: TarEntry[] = [
  { path: 'top/b.js', mode: 0o644, bytes: () => Buffer.from('b'.repeat(700)) },
  { path: 'top/', mode: 0o755, folder: true },
  { path: 'top/a.sh', mode: 0o755, bytes: () => Buffer.from('#!/bin/sh\n') },
  { path: 'top/link', linkTo: 'a.sh' },
  { path: `top/${'deep/'.repeat(25)}empty`, mode: 0o644, bytes: () => Buffer.alloc(0) },
];

describe('an archive', () => {
  it('is read by another implementation as it was written, in order of path', async () => {
    await writeTarGz(entries, path('one.tar.gz'));
    const found: unknown[] = [];
    await list({
      file: path('one.tar.gz'),
      strict: true,
      onReadEntry: ({ path: name, mode, size, uid, type, mtime }) => {
        found.push([name, mode, size, uid, type, mtime?.getTime()]);
      },
    });
    const time = everyTime.getTime();
    expect(found).toEqual([
      ['top/', 0o755, 0, 0, 'Directory', time],
      ['top/a.sh', 0o755, 10, 0, 'File', time],
      ['top/b.js', 0o644, 700, 0, 'File', time],
      [`top/${'deep/'.repeat(25)}empty`, 0o644, 0, 0, 'File', time],
      ['top/link', 0o777, 0, 0, 'SymbolicLink', time],
    ]);
  });

  it('has the same bytes for the same files, in whatever order they were given', async () => {
    const first = await writeTarGz(entries, path('first.tar.gz'));
    const second = await writeTarGz([...entries].reverse(), path('second.tar.gz'));
    expect(second).toEqual(first);
    expect(
      createHash('sha256')
        .update(readFileSync(path('second.tar.gz')))
        .digest('hex'),
    ).toBe(first.sha256);
  });

  it('refuses a path that a plain header cannot hold', async () => {
    const long: TarEntry = { path: `top/${'x'.repeat(300)}`, mode: 0o644, bytes: () => Buffer.alloc(0) };
    await expect(writeTarGz([long], path('long.tar.gz'))).rejects.toThrow(/too long/);
  });
});

describe('the outer form of a Debian package', () => {
  it('begins each member on an even byte', () => {
    const bytes = arFile([
      { name: 'debian-binary', bytes: Buffer.from('2.0\n') },
      { name: 'odd', bytes: Buffer.from('xyz') },
      { name: 'last', bytes: Buffer.from('!') },
    ]).toString('latin1');
    expect(bytes.slice(0, 8)).toBe('!<arch>\n');
    for (const name of ['debian-binary', 'odd', 'last']) {
      const at = bytes.indexOf(name.padEnd(16));
      expect(at % 2).toBe(0);
      expect(bytes.slice(at + 58, at + 60)).toBe('`\n');
    }
  });
});

describe('a package of the registry', () => {
  const bytes = Buffer.from('package');
  const integrity = `sha512-${createHash('sha512').update(bytes).digest('base64')}`;

  it('is taken only with the digest that was named', () => {
    expect(() => checkIntegrity(bytes, { name: 'a', version: '1.0.0', integrity })).not.toThrow();
    expect(() => checkIntegrity(Buffer.from('other'), { name: 'a', version: '1.0.0', integrity })).toThrow(/a@1\.0\.0/);
  });
});

describe('what goes along for a platform', () => {
  const entry = (more: object): object => ({ version: '1.0.0', integrity: 'sha512-x', ...more });
  const lock = JSON.stringify({
    packages: {
      '': {},
      'node_modules/everywhere': entry({}),
      'node_modules/tool': entry({ dev: true }),
      'node_modules/@n/linux-x64-gnu': entry({ os: ['linux'], cpu: ['x64'], optional: true }),
      'node_modules/@n/linux-x64-musl': entry({ os: ['linux'], cpu: ['x64'], optional: true }),
      'node_modules/@n/linux-arm64-gnu': entry({ os: ['linux'], cpu: ['arm64'], optional: true }),
      'node_modules/@n/not-linux': entry({ os: ['!linux'] }),
      'node_modules/a/node_modules/@s/b': entry({ os: ['!win32'] }),
    },
  });

  it.each([
    ['linux-x64', '@n/linux-x64-gnu'],
    ['linux-arm64', '@n/linux-arm64-gnu'],
  ])('is for %s what is for every platform, and its own', (name, native) => {
    const platform = platforms.find((one) => one.name === name);
    if (platform === undefined) throw new Error(name);
    expect(productionPackages(lock, platform).map((one) => one.name)).toEqual(['everywhere', native, '@s/b']);
  });
});

describe('a program file', () => {
  it('tells the machine that it is for', () => {
    const expected = platforms.find(({ cpu }) => cpu === process.arch)?.elfMachine;
    if (process.platform === 'linux') expect(elfMachine(readFileSync(process.execPath))).toBe(expected);
    expect(elfMachine(Buffer.from('#!/bin/sh\necho more than twenty bytes\n'))).toBeUndefined();
    expect(elfMachine(Buffer.alloc(0))).toBeUndefined();
  });
});

describe('the names that the archives are started by', () => {
  it('lead through links to the Node beside them', async () => {
    const { launcher } = await import('#scripts/installables/release.js');
    for (const folder of ['real/bin', 'real/runtime', 'real/app', 'elsewhere'])
      mkdirSync(path(folder), { recursive: true });
    writeFileSync(path('real/bin/tool'), launcher('app/main.js'), { mode: 0o755 });
    writeFileSync(path('real/runtime/node'), '#!/bin/sh\necho "$@"\n', { mode: 0o755 });
    execFileSync('ln', ['-s', path('real/bin/tool'), path('elsewhere/tool')]);
    const said = execFileSync(path('elsewhere/tool'), ['--flag', 'two words'], { encoding: 'utf8' });
    expect(said).toBe(`${path('real/bin')}/../app/main.js --flag two words\n`);
  });
});
