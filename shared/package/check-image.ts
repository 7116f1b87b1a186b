/**
 * Is an image what its digest says, and of the form that Flotilla makes? Asked by the control plane
 * before it lists an image, and by the device before it fetches a layer.
 */
import { AppError } from '#shared/kernel/errors.js';
import { decodeMessage } from '#shared/protocol/decode.js';
import type { Digest } from '#shared/protocol/primitives.js';
import { decodeChunkMap, maxChunkMapBytes } from './chunk-map.js';
import { digestOf } from './digest.js';
import { type ChunkMap, type Descriptor, type ImageManifest, imageManifestSchema } from './image-schema.js';
import { annotations, mediaTypes } from './media-types.js';
import { relativePathSchema } from '#shared/protocol/primitives.js';
import { PathClaims } from './path-claims.js';
import { maxManifestBytes } from './read-manifest.js';
import { defaultArchiveLimits } from './unpack-archive.js';

export const maxImageManifestBytes = 1024 * 1024;
const maxConfigBytes = 256 * 1024;
/** One file of weights. */
export const maxWeightBytes = 16 * 1024 ** 3;
const maxImageBytes = 64 * 1024 ** 3;

/** What a layer of each kind may weigh. */
const layerLimits = new Map<string, number>([
  [mediaTypes.moduleManifest, maxManifestBytes],
  [mediaTypes.code, defaultArchiveLimits.maxTotalBytes + 8 * 1024 * 1024],
  [mediaTypes.weight, maxWeightBytes],
  [mediaTypes.doc, 16 * 1024 * 1024],
  [mediaTypes.chunkMap, maxChunkMapBytes],
]);

/** @throws AppError `blob.digest-mismatch`, `image.invalid` */
export function checkManifest(manifestBytes: Uint8Array, expectedDigest: Digest): ImageManifest {
  const actual = digestOf(manifestBytes);
  if (actual !== expectedDigest) {
    throw new AppError('blob.digest-mismatch', `the image manifest has the digest ${actual}, not ${expectedDigest}`);
  }
  const decoded = decodeMessage(imageManifestSchema, manifestBytes, maxImageManifestBytes);
  if (!decoded.ok) throw invalid(`the manifest is malformed: ${decoded.error.message}`);
  const manifest = decoded.value;
  checkConfig(manifest.config);
  checkLayerKinds(manifest.layers);
  checkSizes(manifest);
  checkPaths(manifest.layers);
  return manifest;
}

/** @throws AppError `blob.digest-mismatch`, `image.invalid` */
export function checkChunkMap(manifest: ImageManifest, chunkMapBytes: Uint8Array): ChunkMap {
  const { digest } = chunkMapLayer(manifest);
  const actual = digestOf(chunkMapBytes);
  if (actual !== digest) {
    throw new AppError('blob.digest-mismatch', `the chunk map has the digest ${actual}, not ${digest}`);
  }
  const map = decodeChunkMap(chunkMapBytes);
  const wanted = new Map(mappedBlobs(manifest).map((blob) => [blob.digest, blob.size]));
  for (const blob of map.blobs) {
    const size = wanted.get(blob.digest);
    if (size === undefined) throw invalid(`the chunk map lists ${blob.digest}, which is no part of the image`);
    if (size !== blob.size) throw invalid(`the chunk map gives ${blob.digest} another size than the manifest`);
    wanted.delete(blob.digest);
  }
  const [missing] = wanted.keys();
  if (missing !== undefined) throw invalid(`the chunk map does not list ${missing}`);
  return map;
}

/** The last layer of a checked manifest. */
export function chunkMapLayer(manifest: ImageManifest): Descriptor {
  const last = manifest.layers.at(-1);
  if (last?.mediaType !== mediaTypes.chunkMap) throw invalid('its last layer is no chunk map');
  return last;
}

/** What a chunk map describes: every layer but itself, and the config. */
function mappedBlobs(manifest: ImageManifest): Descriptor[] {
  return [...manifest.layers.filter(({ mediaType }) => mediaType !== mediaTypes.chunkMap), manifest.config];
}

/** Where a layer lies in the unpacked folder; undefined for those that are unpacked or not kept. */
export function filepathOf(layer: Descriptor): string | undefined {
  return layer.annotations?.[annotations.filepath];
}

function checkConfig(config: Descriptor): void {
  if (config.mediaType !== mediaTypes.config) throw invalid(`its config is ${config.mediaType}`);
  if (config.size > maxConfigBytes) throw invalid(`its config has ${String(config.size)} bytes`);
}

function checkLayerKinds(layers: readonly Descriptor[]): void {
  const count = (mediaType: string): number => layers.filter((layer) => layer.mediaType === mediaType).length;
  const unknown = layers.find(({ mediaType }) => !layerLimits.has(mediaType));
  if (unknown !== undefined) throw invalid(`it has a layer of the unknown type ${unknown.mediaType}`);
  if (count(mediaTypes.moduleManifest) !== 1) throw invalid('it must have exactly one module manifest');
  if (count(mediaTypes.chunkMap) !== 1) throw invalid('it must have exactly one chunk map');
  if (count(mediaTypes.code) > 1) throw invalid('it must have at most one code layer');
  if (count(mediaTypes.weight) < 1) throw invalid('it has no model');
  if (layers.at(-1)?.mediaType !== mediaTypes.chunkMap) throw invalid('its last layer must be the chunk map');
}

function checkSizes(manifest: ImageManifest): void {
  const sizes = new Map<Digest, number>();
  let total = 0;
  for (const blob of [manifest.config, ...manifest.layers]) {
    const limit = layerLimits.get(blob.mediaType) ?? maxConfigBytes;
    if (blob.size > limit) {
      throw invalid(`its layer ${blob.digest} has ${String(blob.size)} bytes, at most ${String(limit)} are taken`);
    }
    if ((sizes.get(blob.digest) ?? blob.size) !== blob.size) throw invalid(`${blob.digest} has two sizes`);
    sizes.set(blob.digest, blob.size);
    total += blob.size;
  }
  if (total > maxImageBytes) throw invalid(`it has ${String(total)} bytes, at most ${String(maxImageBytes)} are taken`);
}

function checkPaths(layers: readonly Descriptor[]): void {
  const claims = new PathClaims();
  for (const layer of layers) {
    const path = filepathOf(layer);
    const isArchive = layer.mediaType === mediaTypes.code || layer.mediaType === mediaTypes.chunkMap;
    if (isArchive !== (path === undefined)) {
      throw invalid(`its layer ${layer.digest} ${isArchive ? 'has a file path' : 'lacks a file path'}`);
    }
    if (path === undefined) continue;
    const checked = relativePathSchema.safeParse(path);
    if (!checked.success) {
      throw invalid(
        `the path ${JSON.stringify(path.slice(0, 255))} ${checked.error.issues[0]?.message ?? 'is refused'}`,
      );
    }
    if (!claims.claimFile(path)) throw invalid(`two of its files lie at ${path}`);
  }
}

function invalid(what: string): AppError {
  return new AppError('image.invalid', `the image is not one of Flotilla: ${what}`);
}
