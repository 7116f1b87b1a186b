/**
 * An OCI image layout on disk (image-spec, image-layout.md): `oci-layout`, `index.json`,
 * `blobs/sha256/<hex>`. A blob appears under its name complete and on disk, or not at all.
 * Changes to one index must not overlap; its owner lets one happen after the other.
 */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, mkdtemp, open, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod';
import { AppError } from '#shared/kernel/errors.js';
import { canonicalJson } from '#shared/protocol/canonical-json.js';
import { decodeMessage } from '#shared/protocol/decode.js';
import type { Digest } from '#shared/protocol/primitives.js';
import { diskError, errno, syncFolder, writeFileAtomic } from '#shared/platform/atomic-file.js';
import { digestOf, hexOf } from './digest.js';
import { type Descriptor, descriptorSchema } from './image-schema.js';
import { annotations, mediaTypes } from './media-types.js';

const maxIndexBytes = 16 * 1024 * 1024;

const indexSchema = z.looseObject({
  schemaVersion: z.literal(2),
  manifests: z.array(z.looseObject(descriptorSchema.shape)),
});

/** Makes the folder an empty layout, or leaves it as it is when it is one. */
export async function writeLayout(layout: string): Promise<void> {
  try {
    await mkdir(join(layout, 'blobs', 'sha256'), { recursive: true });
    if ((await readIndex(layout)) !== undefined) return;
    await writeFileAtomic(join(layout, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}\n');
    await writeIndex(layout, []);
  } catch (error) {
    throw error instanceof AppError ? error : diskError(error, `cannot write the image layout ${layout}`);
  }
}

export function blobPath(layout: string, digest: Digest): string {
  return join(layout, 'blobs', 'sha256', hexOf(digest));
}

/** Lists the manifest under the name; another manifest of that name is no longer listed. */
export async function addToIndex(layout: string, descriptor: Descriptor, refName: string): Promise<void> {
  const manifests = (await readIndex(layout)) ?? [];
  const others = manifests.filter(({ annotations: notes }) => notes?.[annotations.refName] !== refName);
  const added = { ...descriptor, annotations: { ...descriptor.annotations, [annotations.refName]: refName } };
  await writeIndex(layout, [...others, added]);
}

/** Manifests by their names in the index. */
export async function listIndex(layout: string): Promise<{ refName: string; descriptor: Descriptor }[]> {
  return ((await readIndex(layout)) ?? []).flatMap((descriptor) => {
    const refName = descriptor.annotations?.[annotations.refName];
    return refName === undefined ? [] : [{ refName, descriptor }];
  });
}

export async function writeBlob(layout: string, bytes: Uint8Array): Promise<{ digest: Digest; size: number }> {
  return stageBlob(layout, async (staged) => {
    const file = await open(staged, 'wx', 0o644);
    try {
      await file.writeFile(bytes);
      await file.sync();
    } finally {
      await file.close();
    }
    return { digest: digestOf(bytes), size: bytes.length };
  });
}

/**
 * Copies a file in, and hashes the very bytes it writes.
 *
 * @throws AppError `archive.too-large` when the file has more bytes than allowed
 */
export async function copyBlob(
  layout: string,
  source: string,
  maxBytes: number,
): Promise<{ digest: Digest; size: number }> {
  return stageBlob(layout, (staged) => copyHashed(source, staged, maxBytes));
}

/** Each blob in a folder of its own until complete, so that equal blobs may be written at once. */
async function stageBlob(
  layout: string,
  write: (staged: string) => Promise<{ digest: Digest; size: number }>,
): Promise<{ digest: Digest; size: number }> {
  try {
    const staging = await mkdtemp(join(layout, '.staging-'));
    try {
      const staged = join(staging, 'blob');
      const written = await write(staged);
      await rename(staged, blobPath(layout, written.digest));
      await syncFolder(join(layout, 'blobs', 'sha256'));
      return written;
    } finally {
      await rm(staging, { recursive: true, force: true });
    }
  } catch (error) {
    throw error instanceof AppError ? error : diskError(error, `cannot write a blob to ${layout}`);
  }
}

async function copyHashed(source: string, target: string, maxBytes: number): Promise<{ digest: Digest; size: number }> {
  const hash = createHash('sha256');
  const file = await open(target, 'wx', 0o644);
  let size = 0;
  try {
    for await (const piece of createReadStream(source, { highWaterMark: 1024 * 1024 }) as AsyncIterable<Buffer>) {
      size += piece.length;
      if (size > maxBytes) {
        throw new AppError('archive.too-large', `${source} has more than the ${String(maxBytes)} bytes allowed`);
      }
      hash.update(piece);
      await file.writeFile(piece);
    }
    await file.sync();
  } finally {
    await file.close();
  }
  return { digest: `sha256:${hash.digest('hex')}`, size };
}

async function readIndex(layout: string): Promise<Descriptor[] | undefined> {
  const path = join(layout, 'index.json');
  let bytes: Buffer;
  try {
    bytes = await readFile(path);
  } catch (error) {
    if (errno(error) === 'ENOENT') return undefined;
    throw diskError(error, `cannot read ${path}`);
  }
  const index = decodeMessage(indexSchema, bytes, maxIndexBytes);
  if (!index.ok) throw new AppError('state.corrupt', `${path} is no OCI index: ${index.error.message}`);
  return index.value.manifests;
}

/** Sorted by name, so that the order of building does not show. */
async function writeIndex(layout: string, manifests: readonly Descriptor[]): Promise<void> {
  const nameOf = ({ annotations: notes }: Descriptor): string => notes?.[annotations.refName] ?? '';
  const sorted = [...manifests].sort((a, b) => (nameOf(a) < nameOf(b) ? -1 : 1));
  const index = { schemaVersion: 2, mediaType: mediaTypes.index, manifests: sorted };
  await writeFileAtomic(join(layout, 'index.json'), `${canonicalJson(index)}\n`);
}
