/**
 * Brings an image into the cache. What is trusted grows step by step: the publisher's signature over
 * the image's digest; by that digest the manifest; by the manifest the chunk map and the digests of all
 * blobs; by the chunk map each chunk. Nothing is kept under its name before that.
 */
import { AppError } from '#shared/kernel/errors.js';
import { checkChunkMap, checkManifest, chunkMapLayer, maxImageManifestBytes } from '#shared/package/check-image.js';
import { maxChunkMapBytes } from '#shared/package/chunk-map.js';
import { digestOf } from '#shared/package/digest.js';
import { isVariantIndex, maxIndexBytes, readVariantIndex, type VariantIndex } from '#shared/package/variant-index.js';
import type { Descriptor } from '#shared/package/image-schema.js';
import { maxChunkBytes } from '#shared/protocol/blocks.js';
import type { ImageReference } from '#shared/protocol/desired.js';
import type { Digest } from '#shared/protocol/primitives.js';
import type { Trust } from '#shared/protocol/trust.js';
import type { Progress } from '#agent/reconcile/observed.js';
import type { BlobCache } from '#agent/store/blob-cache.js';
import { type FreeBytes, requireRoom } from '#agent/store/disk-space.js';
import type { ImageStore } from '#agent/store/image-store.js';
import type { BlockClient } from '#agent/link/block-client.js';
import { fetchBlobs } from '#agent/link/blob-fetch.js';
import { verifyTrusted } from '#agent/trust/verify-trusted.js';

const maxSignatureBytes = 64 * 1024;

export interface DownloadPorts {
  readonly images: ImageStore;
  readonly blocks: BlockClient;
  /** Who may say what runs here, asked at each use. */
  readonly trust: () => Pick<Trust, 'version' | 'publishers' | 'withdrawn'>;
  /** Providers that run models here, for what is said where no variant does. */
  readonly accelerators: () => readonly string[];
  /** Images that may hold chunks of this one. */
  readonly neighbours: () => readonly Digest[];
  readonly freeBytes: FreeBytes;
  readonly reserveBytes: number;
  readonly cacheFolder: string;
}

/** @throws AppError whose code says whether another try helps */
export async function downloadImage(
  image: ImageReference,
  ports: DownloadPorts,
  onProgress: (progress: Progress) => void,
  signal: AbortSignal,
): Promise<void> {
  const { blobs } = ports.images;
  const small = new SmallBlobs(ports.blocks, blobs, signal);

  // The index says that this is one of its variants; then the variant's own publisher says that it may run.
  if (image.chosenFrom !== undefined) {
    const index = { ...image.chosenFrom, version: image.version };
    await requireSigned(index, small, ports);
    requireNamed(image, readVariantIndex(await small.fetch(index, maxIndexBytes, 'index'), index.digest));
  }
  await requireSigned(image, small, ports);
  const manifestBytes = await small.fetch(image, maxImageManifestBytes, 'manifest');
  if (isVariantIndex(manifestBytes)) throw nothingRuns(image, manifestBytes, ports.accelerators());
  const manifest = checkManifest(manifestBytes, image.digest);
  const mapLayer = chunkMapLayer(manifest);
  const map = checkChunkMap(manifest, await small.fetch(mapLayer, maxChunkMapBytes, 'chunk map'));

  await fetchBlobs({
    map,
    mapDigest: mapLayer.digest,
    images: ports.images,
    blocks: ports.blocks,
    neighbours: ports.neighbours().filter((digest) => digest !== image.digest),
    smallBytes: small.bytesFetched,
    requireRoom: (bytes) => requireRoom(ports.cacheFolder, bytes, ports.reserveBytes, ports.freeBytes),
    onProgress,
    signal,
  });
}

async function requireSigned(image: ImageReference, small: SmallBlobs, ports: DownloadPorts): Promise<void> {
  const signature = await small.fetch(image.signature, maxSignatureBytes, 'signature');
  const signed = verifyTrusted(signature, image, ports.trust());
  if (signed.ok) return;
  // Another envelope may stand under another digest; this one is of no use, unless what answers came with it.
  if (signed.error.code !== 'signature.withdrawn') await ports.images.blobs.remove(image.signature.digest);
  throw new AppError(signed.error.code, `${image.name}:${String(image.version)} is refused: ${signed.error.message}`, {
    details: { digest: image.digest },
  });
}

/** What the director says of an index counts only as far as its publisher says it. */
function requireNamed({ digest, size, name, chosenFrom }: ImageReference, { variants }: VariantIndex): void {
  const named = variants.find((variant) => variant.digest === digest);
  const agrees =
    named?.name === name &&
    named.size === size &&
    named.accelerator === chosenFrom?.accelerator &&
    named.precision === chosenFrom.precision;
  if (agrees) return;
  throw new AppError(
    'image.invalid',
    `the index ${chosenFrom?.name ?? ''} that its publisher signed does not name ${digest} as it was asked for`,
    { details: { digest } },
  );
}

function nothingRuns({ name, version, digest }: ImageReference, bytes: Uint8Array, here: readonly string[]): AppError {
  const needs = readVariantIndex(bytes, digest).variants.map(
    ({ accelerator, precision, providers }) => `${accelerator}/${precision} needs ${providers.join(' or ')}`,
  );
  return new AppError(
    'module.invalid',
    `no variant of ${name}:${String(version)} runs here, where ${here.join(', ')} works: ${needs.join('; ')}`,
    { details: { digest } },
  );
}

/** Blobs fetched whole, each checked by its digest before it is kept or looked at. */
class SmallBlobs {
  bytesFetched = 0;

  constructor(
    private readonly blocks: BlockClient,
    private readonly blobs: BlobCache,
    private readonly signal: AbortSignal,
  ) {}

  async fetch(
    { digest, size }: Pick<Descriptor, 'digest' | 'size'>,
    maxBytes: number,
    what: string,
  ): Promise<Uint8Array> {
    if (size > maxBytes || size === 0) {
      throw new AppError(
        'image.invalid',
        `the ${what} ${digest} has ${String(size)} bytes; 1 to ${String(maxBytes)} are allowed`,
      );
    }
    const kept = await this.blobs.read(digest, maxBytes);
    if (kept !== undefined) return kept;
    const bytes = new Uint8Array(size);
    const chunks = Array.from({ length: Math.ceil(size / maxChunkBytes) }, (_, index) => ({
      index,
      offset: index * maxChunkBytes,
      length: Math.min(maxChunkBytes, size - index * maxChunkBytes),
    }));
    await this.blocks.fetch(
      { kind: 'blob', digest },
      chunks,
      async (chunk, part) => {
        bytes.set(part, chunk.offset);
        this.bytesFetched += part.length;
      },
      this.signal,
    );
    if (digestOf(bytes) !== digest) {
      throw new AppError('blob.digest-mismatch', `the ${what} came with other bytes than ${digest} names`);
    }
    await this.blobs.put(digest, bytes);
    return bytes;
  }
}
