/**
 * What says what an image is, fetched and verified before any of its bytes. What is trusted grows step by step: the
 * publisher's signature over the image's digest; by that digest the manifest; by the manifest the chunk map and the
 * digests of all blobs. Nothing is kept under its name before that.
 */
import { AppError } from '#shared/kernel/errors.js';
import { checkChunkMap, checkManifest, chunkMapLayer, maxImageManifestBytes } from '#shared/package/check-image.js';
import { maxChunkMapBytes } from '#shared/package/chunk-map.js';
import { digestOf } from '#shared/package/digest.js';
import type { ChunkMap, Descriptor, ImageManifest } from '#shared/package/image-schema.js';
import { isVariantIndex, maxIndexBytes, readVariantIndex } from '#shared/package/variant-index.js';
import { maxChunkBytes } from '#shared/protocol/blocks.js';
import type { ImageReference } from '#shared/protocol/desired.js';
import type { Digest } from '#shared/protocol/primitives.js';
import type { Trust } from '#shared/protocol/trust.js';
import type { BlockClient } from '#agent/link/block-client.js';
import { nothingRuns, requireNamed } from '#agent/link/variant-verification.js';
import { verifyTrusted } from '#agent/trust/verify-trusted.js';

const maxSignatureBytes = 64 * 1024;

/** Small blobs that were verified. */
export interface SmallBlobStore {
  /** Undefined where it is not there. */
  read(digest: Digest, maxBytes: number): Promise<Uint8Array | undefined>;
  put(digest: Digest, bytes: Uint8Array): Promise<void>;
  remove(digest: Digest): Promise<void>;
}

export interface VerificationPorts {
  readonly blobs: SmallBlobStore;
  readonly blocks: Pick<BlockClient, 'fetch'>;
  /** Who may say what runs here, asked at each use. */
  readonly trust: () => Pick<Trust, 'version' | 'publishers' | 'withdrawn'>;
  /** Providers that run models here, for what is said where no variant does; absent: `cpu`. */
  readonly accelerators?: () => readonly string[];
}

export interface VerifiedImage {
  readonly manifest: ImageManifest;
  readonly map: ChunkMap;
  readonly mapDigest: Digest;
  /** Bytes that came over the network for it. */
  readonly smallBytes: number;
}

/** @throws AppError whose code says whether another try helps */
export async function verifyImage(
  image: ImageReference,
  ports: VerificationPorts,
  signal: AbortSignal,
): Promise<VerifiedImage> {
  const small = new SmallBlobs(ports.blocks, ports.blobs, signal);
  // The index says that this is one of its variants; then the variant's own publisher says that it may run.
  if (image.chosenFrom !== undefined) {
    const index = { ...image.chosenFrom, version: image.version };
    await requireSigned(index, small, ports);
    requireNamed(image, readVariantIndex(await small.fetch(index, maxIndexBytes, 'index'), index.digest));
  }
  await requireSigned(image, small, ports);
  const bytes = await small.fetch(image, maxImageManifestBytes, 'manifest');
  if (isVariantIndex(bytes)) throw nothingRuns(image, bytes, ports.accelerators?.() ?? ['cpu']);
  const manifest = checkManifest(bytes, image.digest);
  const mapLayer = chunkMapLayer(manifest);
  const map = checkChunkMap(manifest, await small.fetch(mapLayer, maxChunkMapBytes, 'chunk map'));
  return { manifest, map, mapDigest: mapLayer.digest, smallBytes: small.bytesFetched };
}

async function requireSigned(image: ImageReference, small: SmallBlobs, ports: VerificationPorts): Promise<void> {
  const signature = await small.fetch(image.signature, maxSignatureBytes, 'signature');
  const signed = verifyTrusted(signature, image, ports.trust());
  if (signed.ok) return;
  // Another envelope may stand under another digest; this one is of no use, unless what answers came with it.
  if (signed.error.code !== 'signature.withdrawn') await ports.blobs.remove(image.signature.digest);
  throw new AppError(signed.error.code, `${image.name}:${String(image.version)} is refused: ${signed.error.message}`, {
    details: { digest: image.digest },
  });
}

/** Blobs fetched whole, each checked by its digest before it is kept or looked at. */
export class SmallBlobs {
  bytesFetched = 0;

  constructor(
    private readonly blocks: Pick<BlockClient, 'fetch'>,
    private readonly blobs: SmallBlobStore,
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
