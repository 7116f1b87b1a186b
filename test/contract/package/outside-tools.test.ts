import { execFile } from 'node:child_process';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { buildImage } from '#shared/package/build-image.js';
import { digestOf } from '#shared/package/digest.js';
import { PathClaims } from '#shared/package/path-claims.js';
import { exportPrivateKeyPem, generateSigningKey } from '#shared/package/signing-key.js';
import { signEnvelope } from '#shared/package/dsse.js';
import { preAuthenticationEncoding } from '#shared/protocol/envelope.js';
import { unpackArchive } from '#shared/package/unpack-archive.js';
import { writeArchive } from '#shared/package/write-archive.js';
import { outsideTool } from '#test/support/outside-tool.js';
import { temporaryFolder } from '#test/support/temporary-folder.js';

const run = promisify(execFile);
const digits = fileURLToPath(new URL('../../../modules/digits/', import.meta.url));
const folder = temporaryFolder();

describe('skopeo', () => {
  it('reads the manifest of an image that we built, byte for byte', async () => {
    const skopeo = outsideTool('skopeo');
    const layout = folder('inspected');
    const image = await buildImage({ moduleFolder: digits, layout, log: () => undefined });
    const { stdout } = await run(skopeo, ['inspect', '--raw', `oci:${layout}:digits`]);
    expect(digestOf(stdout)).toBe(image.digest);
  });

  it('copies an image that we built with every blob, under the same digest', async () => {
    const skopeo = outsideTool('skopeo');
    const layout = folder('source');
    const image = await buildImage({ moduleFolder: digits, layout, refName: 'digits:3', log: () => undefined });
    await run(skopeo, ['copy', `oci:${layout}:digits:3`, `oci:${folder('copied')}:digits:3`]);
    const copied = await readdir(join(folder('copied'), 'blobs', 'sha256'));
    expect(copied.sort()).toEqual([...new Set(image.blobs.map(({ digest }) => digest.slice(7)))].sort());
  });
});

describe('tar', () => {
  const files = [
    { path: 'golden.json', bytes: Buffer.from('[1]') },
    { path: 'deep/er/script.mjs', bytes: Buffer.alloc(1500, 'x') },
  ];

  it('unpacks an archive that we wrote', async () => {
    const tar = outsideTool('tar');
    await writeFile(folder('ours.tar'), await writeArchive(files));
    await mkdir(folder('theirs'));
    await run(tar, ['-xf', folder('ours.tar'), '-C', folder('theirs')]);
    for (const { path, bytes } of files) expect(bytes.equals(await readFile(folder('theirs', path)))).toBe(true);
  });

  it('writes an archive that we unpack', async () => {
    const tar = outsideTool('tar');
    const source = folder('packed');
    for (const { path, bytes } of files) {
      await mkdir(join(source, path, '..'), { recursive: true });
      await writeFile(join(source, path), bytes);
    }
    await run(tar, ['--format=ustar', '-cf', folder('theirs.tar'), '-C', source, 'golden.json', 'deep']);
    await mkdir(folder('unpacked'));
    await unpackArchive(folder('theirs.tar'), folder('unpacked'), new PathClaims());
    for (const { path, bytes } of files) expect(bytes.equals(await readFile(folder('unpacked', path)))).toBe(true);
  });
});

describe('OpenSSL', () => {
  it('makes the signature that we make', async () => {
    const openssl = outsideTool('openssl');
    const key = generateSigningKey();
    const payload = Buffer.from('payload');
    await writeFile(folder('key.pem'), exportPrivateKeyPem(key), { mode: 0o600 });
    await writeFile(folder('signed'), preAuthenticationEncoding('type', payload));
    await run(openssl, [
      'pkeyutl',
      '-sign',
      '-rawin',
      '-inkey',
      folder('key.pem'),
      '-in',
      folder('signed'),
      '-out',
      folder('signature'),
    ]);
    const theirs = (await readFile(folder('signature'))).toString('base64');
    expect(signEnvelope('type', payload, key).signatures[0]?.sig).toBe(theirs);
  });
});
