/** An image as an engine hands it out, whole or not: it is read, or refused with a reason. */
import { readFile } from 'node:fs/promises';
import { Readable } from 'node:stream';
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { digestOf } from '#shared/package/digest.js';
import { writeTar } from '#shared/package/write-tar.js';
import { archiveOf } from '#cloud/services/containers/replica-image.js';
import { layerOf } from '#cloud/services/containers/layer.js';
import { readSavedImage } from '#cloud/services/containers/saved-image.js';
import { AppError } from '#shared/kernel/errors.js';
import { temporaryFolder } from '#test/support/temporary-folder.js';

const path = temporaryFolder();
const maxBytes = 1_000_000;

async function bytesOf(pieces: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const all: Uint8Array[] = [];
  for await (const piece of pieces) all.push(piece);
  return Buffer.concat(all);
}

const json = (value: unknown): Uint8Array => Buffer.from(JSON.stringify(value));
const file = (at: string, bytes: Uint8Array) => ({ path: at, kind: 'bytes', mode: 0o644, bytes }) as const;

describe('a saved image', () => {
  let archive: Buffer;
  const read = (bytes: Buffer) =>
    readSavedImage(Readable.from([bytes.subarray(0, 700), bytes.subarray(700)]), path('image'), maxBytes);

  beforeAll(async () => {
    const name = `${'long/'.repeat(40)}name`;
    const layer = await layerOf([file('etc/os', Buffer.from('x'.repeat(3000))), file(name, Buffer.from('y'))]);
    const { open } = archiveOf({ layers: [{ what: 'base', layer }], env: ['A=b'], labels: {}, tag: 'a/b:1' });
    archive = await bytesOf(open());
  });

  it('gives its layers as they were, with their digests', async () => {
    const { layers, env } = await read(archive);
    expect(env).toEqual(['A=b', 'ORT_DISABLE_TELEMETRY=1']);
    for (const layer of layers) expect(digestOf(await bytesOf(layer.open()))).toBe(layer.digest);
    expect(layers).toHaveLength(1);
  });

  it('may name one layer by a link, and be an OCI layout', async () => {
    const [layer, config] = [
      Buffer.from('layer'),
      { architecture: 'amd64', os: 'linux', rootfs: { type: 'layers', diff_ids: [digestOf(Buffer.from('layer'))] } },
    ];
    const manifest = [{ Config: 'blobs/sha256/c', Layers: ['one/layer.tar'] }];
    const linked = { path: 'one/layer.tar', kind: 'link', to: '../blobs/sha256/l' } as const;
    const entries = [
      file('blobs/sha256/l', layer),
      file('blobs/sha256/c', json(config)),
      linked,
      file('manifest.json', json(manifest)),
    ];
    const [found] = (await read(await bytesOf(writeTar(entries)))).layers;
    expect(found && (await bytesOf(found.open())).toString()).toBe('layer');
  });

  it('is refused where it is cut, damaged or larger than it may be, and nothing is left of it in the way', async () => {
    const damage = fc.record({
      cut: fc.option(fc.nat(archive.length)),
      at: fc.nat(archive.length - 1),
      byte: fc.nat(255),
    });
    await fc.assert(
      fc.asyncProperty(damage, async ({ cut, at, byte }) => {
        const bytes = Buffer.from(archive);
        bytes[at] = byte;
        const given = bytes.subarray(0, cut ?? bytes.length);
        const outcome = await read(given).catch((error: unknown) => error);
        if (outcome instanceof Error) expect(outcome).toBeInstanceOf(AppError);
      }),
      { numRuns: 60 },
    );
    await expect(readSavedImage(Readable.from([archive]), path('image'), 1000)).rejects.toMatchObject({
      code: 'image.invalid',
    });
    await expect(read(archive)).resolves.toBeDefined();
    expect(await readFile(path('image', '1'))).toBeDefined();
  });
});
