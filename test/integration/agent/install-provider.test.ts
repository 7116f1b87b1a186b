import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, readlink, stat, writeFile } from 'node:fs/promises';
import type { RequestListener } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { systemClock } from '#shared/kernel/clock.js';
import { defaultFetchLimits, type InstallOrder, installProvider } from '#agent/providers/install-provider.js';
import { InstalledProviders } from '#agent/providers/installed-providers.js';
import { librarySources } from '#agent/providers/library-source.js';
import { createAuthority, createServerCertificate } from '#cloud/trust/certificates.js';
import { hostileTar } from '../../support/hostile-tar.js';
import { temporaryFolder } from '../../support/temporary-folder.js';
import { writeZip, type ZipContent } from '../../support/zip-writer.js';

const version = '1.30.0';
const names = {
  cuda: 'libonnxruntime_providers_cuda.so',
  shared: 'libonnxruntime_providers_shared.so',
  tensorrt: 'libonnxruntime_providers_tensorrt.so',
};
const native = 'runtimes/linux-x64/native/';

/** Starts as a library of 64-bit Linux on x86 does. */
function library(text: string, machine = 0x3e): Buffer {
  const head = Buffer.alloc(64);
  head.write('\x7fELF\x02\x01\x01', 'latin1');
  head.writeUInt16LE(3, 16);
  head.writeUInt16LE(machine, 18);
  return Buffer.concat([head, Buffer.from(text)]);
}

const nuspec = (of: string): ZipContent => ({
  path: 'Some.Package.nuspec',
  content: Buffer.from(`<package><metadata><id>x</id><version>${of}</version></metadata></package>`),
});
const entry = (name: string, more: Partial<ZipContent> = {}): ZipContent => ({
  path: `${native}${name}`,
  content: library(name),
  ...more,
});
const right = [nuspec(version), entry(names.cuda), entry(names.shared, { stored: true }), entry(names.tensorrt)];
const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

describe('installing the libraries of a provider', () => {
  const folder = temporaryFolder();
  let server: Server;
  let ca: string;
  let origin: string;
  let answer: RequestListener;
  let count = 0;

  beforeAll(async () => {
    const authority = await createAuthority(Date.now());
    const { certificate, privateKey } = await createServerCertificate(authority, ['localhost'], Date.now());
    ca = authority.certificate;
    server = createServer({ cert: certificate, key: privateKey }, (request, response) => answer(request, response));
    await new Promise<void>((resolve) => server.listen(0, 'localhost', resolve));
    origin = `https://localhost:${String((server.address() as AddressInfo).port)}`;
    await mkdir(folder('program'));
    await writeFile(folder('program/libonnxruntime.so.1'), 'the runtime');
  });
  afterAll(() => server.close());

  const fresh = (): InstalledProviders => {
    count += 1;
    return new InstalledProviders(folder(`state-${String(count)}/providers`), { version, folder: folder('program') });
  };
  const install = (installed: InstalledProviders, order: Partial<InstallOrder>, maxBytes = 1024 * 1024) =>
    installProvider(
      { provider: 'cuda', sources: [], builtFor: undefined, ...order },
      {
        installed,
        runtimeVersion: version,
        platform: 'linux-x64',
        clock: systemClock,
        limits: { ...defaultFetchLimits, ca, maxBytes },
        onProgress: () => undefined,
      },
    );
  const file = async (bytes: Uint8Array, name = 'archive.nupkg') => {
    count += 1;
    const path = folder(`${String(count)}-in`, name);
    await mkdir(folder(`${String(count)}-in`));
    await writeFile(path, bytes);
    return librarySources([path], [sha256(bytes)]);
  };
  /** What is left of a failed install: nothing. */
  const expectNothing = async (installed: InstalledProviders): Promise<void> => {
    expect(await installed.record()).toBeUndefined();
    expect(await readdir(installed.folder).catch(() => [])).toEqual([]);
  };

  it('takes the files of that provider alone, beside a link to the runtime that will load them', async () => {
    const installed = fresh();
    const record = await install(installed, { sources: await file(writeZip(right)) });
    expect((await readdir(installed.current)).sort()).toEqual(
      ['installed.json', 'libonnxruntime.so.1', names.cuda, names.shared].sort(),
    );
    expect(await readFile(`${installed.current}/${names.cuda}`)).toEqual(library(names.cuda));
    expect(await readlink(`${installed.current}/libonnxruntime.so.1`)).toBe(folder('program/libonnxruntime.so.1'));
    expect(record).toMatchObject({
      onnxruntime: version,
      files: { [names.cuda]: { sha256: sha256(library(names.cuda)) } },
    });
    expect(await installed.damage(record)).toBeUndefined();
    expect((await stat(folder(`state-${String(count - 1)}`))).mode & 0o777).toBe(0o700);
  });

  it('keeps what another provider has, and takes each away alone', async () => {
    const installed = fresh();
    const sources = await file(writeZip(right));
    await install(installed, { sources });
    await install(installed, { provider: 'tensorrt', sources });
    expect(Object.keys((await installed.record())?.files ?? {}).sort()).toEqual(Object.values(names).sort());
    expect(await installed.remove('cuda')).toBe(true);
    expect(Object.keys((await installed.record())?.files ?? {}).sort()).toEqual([names.shared, names.tensorrt].sort());
    expect(await readdir(installed.folder)).toHaveLength(2);
    expect(await installed.remove('tensorrt')).toBe(true);
    expect(await installed.remove('tensorrt')).toBe(false);
    expect(await readdir(installed.folder)).toEqual([]);
  });

  it('notices a file that was changed afterwards', async () => {
    const installed = fresh();
    const record = await install(installed, { sources: await file(writeZip(right)) });
    await writeFile(`${installed.current}/${names.cuda}`, 'another');
    expect(await installed.damage(record)).toMatch(/cuda\.so is not the file that was installed/);
  });

  it.each([
    [
      'a wheel',
      () =>
        writeZip([
          { path: 'onnxruntime_gpu-1.30.0.dist-info/METADATA', content: Buffer.from(`Name: x\nVersion: ${version}\n`) },
          { path: `onnxruntime/capi/${names.cuda}`, content: library('c') },
          { path: `onnxruntime/capi/${names.shared}`, content: library('s') },
        ]),
    ],
    [
      'a .tgz',
      () =>
        gzipSync(
          hostileTar([
            { path: 'ort-gpu/VERSION_NUMBER', content: Buffer.from(`${version}\n`) },
            { path: 'ort-gpu/lib/libonnxruntime.so', type: '2', link: 'libonnxruntime.so.1' },
            { path: `ort-gpu/lib/${names.cuda}`, content: library('c'.repeat(300_000)) },
            { path: `ort-gpu/lib/${names.shared}`, content: library('s') },
          ]),
        ),
    ],
  ])('reads %s too', async (_form, archive) => {
    const installed = fresh();
    await install(installed, { sources: await file(archive(), 'archive') });
    expect(Object.keys((await installed.record())?.files ?? {}).sort()).toEqual([names.cuda, names.shared].sort());
  });

  it('takes single libraries once it is told which onnxruntime they are for', async () => {
    const installed = fresh();
    const sources = [...(await file(library('c'), names.cuda)), ...(await file(library('s'), names.shared))];
    await expect(install(installed, { sources })).rejects.toThrow(/--built-for 1\.30\.0/);
    await expect(install(installed, { sources, builtFor: '1.29.0' })).rejects.toThrow(/is for onnxruntime 1\.29\.0/);
    await expectNothing(installed);
    await install(installed, { sources, builtFor: version });
    expect(await readFile(`${installed.current}/${names.cuda}`)).toEqual(library('c'));
  });

  const cut = (bytes: Buffer): Buffer => bytes.subarray(0, bytes.length - 40);
  const tgz = (...entries: Parameters<typeof hostileTar>[0]): Buffer => gzipSync(hostileTar(entries));
  const tgzVersion = { path: 'o/VERSION_NUMBER', content: Buffer.from(version) };
  it.each<[string, Uint8Array, string, RegExp]>([
    [
      'of another onnxruntime',
      writeZip([nuspec('1.29.0'), ...right.slice(1)]),
      'request.invalid',
      /is for onnxruntime 1\.29\.0; this program runs 1\.30\.0/,
    ],
    ['without one of the files', writeZip(right.slice(0, 2)), 'request.invalid', /shared\.so was in none/],
    [
      'with a path that leads out of it',
      writeZip([...right.slice(0, 1), entry(names.cuda, { path: `../../${names.cuda}` }), entry(names.shared)]),
      'archive.unsafe',
      /leads out of it/,
    ],
    [
      'with an absolute path',
      writeZip([...right.slice(0, 1), entry(names.cuda, { path: `/usr/lib/${names.cuda}` }), entry(names.shared)]),
      'archive.unsafe',
      /leads out of it/,
    ],
    [
      'with a link for a library',
      writeZip([...right.slice(0, 1), entry(names.cuda, { mode: 0o120777 }), entry(names.shared)]),
      'archive.unsafe',
      /no plain file/,
    ],
    [
      'with a file twice',
      writeZip([...right, entry(names.cuda, { path: `other/${names.cuda}` })]),
      'archive.unsafe',
      /twice/,
    ],
    [
      'that unpacks to more than it says',
      writeZip([
        ...right.slice(0, 1),
        entry(names.cuda, { content: Buffer.alloc(900_000, 1), size: 100 }),
        entry(names.shared),
      ]),
      'archive.unsafe',
      /not of the size/,
    ],
    [
      'that says that a library is of gigabytes',
      writeZip([...right.slice(0, 1), entry(names.cuda, { size: 0xf0000000 }), entry(names.shared)]),
      'archive.too-large',
      /larger than any library/,
    ],
    [
      'whose content is another than its checksum says',
      writeZip([...right.slice(0, 1), entry(names.cuda, { crc: 1 }), entry(names.shared)]),
      'archive.unsafe',
      /checksum/,
    ],
    ['that was cut off', cut(writeZip(right)), 'archive.unsafe', /not all of one|ends too early|list/],
    [
      'for another processor',
      writeZip([...right.slice(0, 1), entry(names.cuda, { content: library('c', 0xb7) }), entry(names.shared)]),
      'archive.unsafe',
      /64-bit Linux on x86/,
    ],
    [
      'that is no library',
      writeZip([...right.slice(0, 1), entry(names.cuda, { content: Buffer.from('#!/bin/sh') }), entry(names.shared)]),
      'archive.unsafe',
      /64-bit Linux on x86/,
    ],
    ['of no known form', Buffer.from('<html>'), 'archive.unsafe', /neither a \.nupkg/],
    ['that is empty', Buffer.alloc(0), 'archive.unsafe', /neither a \.nupkg/],
    [
      'as .tgz with a path that leads out of it',
      tgz(tgzVersion, { path: `../${names.cuda}`, content: library('c') }),
      'archive.unsafe',
      /leads out of it/,
    ],
    [
      'as .tgz with a link for a library',
      tgz(tgzVersion, { path: `o/${names.cuda}`, type: '2', link: '/etc/passwd' }),
      'archive.unsafe',
      /no plain file/,
    ],
    [
      'as .tgz that was cut off',
      cut(tgz(tgzVersion, { path: `o/${names.cuda}`, content: library('c') })),
      'archive.unsafe',
      /damaged or cut off/,
    ],
    [
      'as .tgz whose tar was cut off',
      gzipSync(
        hostileTar([tgzVersion, { path: `o/${names.cuda}`, content: library('c'.repeat(9000)) }]).subarray(0, 4000),
      ),
      'archive.unsafe',
      /cut off/,
    ],
  ])('refuses an archive %s, and leaves nothing behind', async (_what, archive, code, words) => {
    const installed = fresh();
    const failure = await install(installed, { sources: await file(archive) }).catch((error: unknown) => error);
    expect(failure).toMatchObject({ code, message: expect.stringMatching(words) as string });
    await expectNothing(installed);
  });

  it('leaves what is installed as it is when a later install fails', async () => {
    const installed = fresh();
    await install(installed, { sources: await file(writeZip(right)) });
    const before = await installed.record();
    await expect(install(installed, { sources: await file(writeZip(right.slice(0, 1))) })).resolves.toMatchObject({});
    await expect(install(installed, { sources: await file(Buffer.from('x'), 'y') })).rejects.toThrow(/neither/);
    expect((await installed.record())?.files).toEqual(before?.files);
  });

  it('is refused where the platform has no such libraries', async () => {
    const installed = fresh();
    const ports = { installed, runtimeVersion: version, platform: 'darwin-arm64', clock: systemClock };
    const sources = await file(writeZip(right));
    await expect(
      installProvider(
        { provider: 'cuda', sources, builtFor: undefined },
        { ...ports, limits: defaultFetchLimits, onProgress: () => undefined },
      ),
    ).rejects.toThrow(/on linux-x64 only; this is darwin-arm64/);
  });

  describe('from an address', () => {
    const archive = writeZip(right);
    const from = (path: string, digest = sha256(archive)) => librarySources([`${origin}${path}`], [digest]);

    it('follows where it is led, and records the address without its query', async () => {
      answer = (request, response) => {
        if (request.url === '/a?key=secret') response.writeHead(302, { location: '/b?key=secret' }).end();
        else response.end(archive);
      };
      const record = await install(fresh(), { sources: from('/a?key=secret') });
      expect(record.providers.cuda?.from).toEqual([{ source: `${origin}/a`, sha256: sha256(archive) }]);
    });

    const failures: [string, RequestListener, string, RegExp][] = [
      ['is not there', (_, response) => void response.writeHead(404).end(), 'server.unreachable', /answered 404/],
      [
        'leads to plain http',
        (_, response) => void response.writeHead(302, { location: 'http://localhost:1/x' }).end(),
        'request.invalid',
        /http:.*not fetched/,
      ],
      [
        'leads to a file',
        (_, response) => void response.writeHead(302, { location: 'file:///etc/passwd' }).end(),
        'request.invalid',
        /not fetched/,
      ],
      [
        'leads round in a circle',
        (_, response) => void response.writeHead(302, { location: '/again' }).end(),
        'server.unreachable',
        /more than 5 times/,
      ],
      [
        'breaks off',
        (_, response) => {
          response.writeHead(200, { 'content-length': String(archive.length) });
          response.write(archive.subarray(0, 100), () => response.destroy());
        },
        'server.unreachable',
        /broke off|cut off/,
      ],
      [
        'says that it is too large',
        (_, response) => void response.writeHead(200, { 'content-length': '99999999' }).flushHeaders(),
        'archive.too-large',
        /larger than 1048576/,
      ],
      [
        'never ends',
        (_, response) => {
          const more = (): void => {
            if (!response.destroyed) response.write(Buffer.alloc(65536), () => setImmediate(more));
          };
          more();
        },
        'archive.too-large',
        /larger than 1048576/,
      ],
      [
        'gives something else',
        (_, response) => void response.end('something else'),
        'blob.digest-mismatch',
        /nothing was installed/,
      ],
    ];
    it.each(failures)('fails when it %s, and leaves nothing behind', async (_what, listener, code, words) => {
      answer = listener;
      const installed = fresh();
      const failure = await install(installed, { sources: from('/x?key=secret') }).catch((error: unknown) => error);
      expect(failure).toMatchObject({ code, message: expect.stringMatching(words) as string });
      expect(String((failure as Error).message)).not.toContain('secret');
      await expectNothing(installed);
    });

    it('does not take a server that it cannot prove', async () => {
      answer = (_, response) => void response.end(archive);
      const installed = fresh();
      const ports = { installed, runtimeVersion: version, platform: 'linux-x64', clock: systemClock };
      await expect(
        installProvider(
          { provider: 'cuda', sources: from('/x'), builtFor: undefined },
          { ...ports, limits: defaultFetchLimits, onProgress: () => undefined },
        ),
      ).rejects.toThrow(/cannot be reached/);
    });
  });

  it('that another version of onnxruntime has are not seen by this one', async () => {
    const installed = fresh();
    await install(installed, { sources: await file(writeZip(right)) });
    const later = new InstalledProviders(installed.folder, { version: '1.31.0', folder: folder('program') });
    expect(await later.record()).toBeUndefined();
    await expect(later.remove('cuda')).resolves.toBe(false);
    expect(await installed.record()).toBeDefined();
  });
});
