import { describe, expect, it } from 'vitest';
import { AppError } from '#shared/kernel/errors.js';
import { canonicalJson } from '#shared/protocol/canonical-json.js';
import { checkChunkMap, checkManifest } from '#shared/package/check-image.js';
import { digestOf, sha256Hex } from '#shared/package/digest.js';
import type { ChunkMap, Descriptor, ImageManifest } from '#shared/package/image-schema.js';
import { annotations, mediaTypes } from '#shared/package/media-types.js';

function blob(mediaType: string, text: string, path?: string): Descriptor {
  const descriptor = { mediaType, digest: digestOf(text), size: text.length };
  return path === undefined ? descriptor : { ...descriptor, annotations: { [annotations.filepath]: path } };
}

const config = blob(mediaTypes.config, '{}');
const module = blob(mediaTypes.moduleManifest, 'module', 'module.yaml');
const weight = blob(mediaTypes.weight, 'weights', 'models/digits/model.onnx');
const code = blob(mediaTypes.code, 'code');

const chunkOf = (text: string): ChunkMap['blobs'][number] => ({
  digest: digestOf(text),
  size: text.length,
  chunks: [{ length: text.length, sha256: sha256Hex(text) }],
});
const wholeMap = [chunkOf('module'), chunkOf('code'), chunkOf('weights'), chunkOf('{}')];
const mapBytes = (blobs: ChunkMap['blobs'] = wholeMap): Uint8Array => Buffer.from(canonicalJson({ schema: 1, blobs }));
const mapLayer = (bytes = mapBytes()): Descriptor => ({
  mediaType: mediaTypes.chunkMap,
  digest: digestOf(bytes),
  size: bytes.length,
});

function manifest(layers: Descriptor[], other: Partial<ImageManifest> = {}): Uint8Array {
  const value = {
    schemaVersion: 2,
    mediaType: mediaTypes.manifest,
    artifactType: mediaTypes.artifact,
    config,
    layers,
    ...other,
  };
  return Buffer.from(canonicalJson(value));
}
const check = (bytes: Uint8Array): ImageManifest => checkManifest(bytes, digestOf(bytes));
const good = manifest([module, code, weight, mapLayer()]);

function codeOf(act: () => unknown): string {
  try {
    act();
  } catch (error) {
    if (error instanceof AppError) return error.code;
    throw error;
  }
  return 'accepted';
}

describe('an image manifest', () => {
  it('that Flotilla makes is accepted', () => {
    expect(check(good).layers).toHaveLength(4);
  });

  it('of another digest is refused before it is read', () => {
    expect(codeOf(() => checkManifest(good, digestOf('other')))).toBe('blob.digest-mismatch');
  });

  it.each<[string, Uint8Array]>([
    ['no JSON', Buffer.from('hello')],
    ['two module manifests', manifest([module, { ...module, digest: digestOf('x') }, weight, mapLayer()])],
    ['no module manifest', manifest([weight, mapLayer()])],
    ['no model', manifest([module, mapLayer()])],
    ['two code layers', manifest([module, code, code, weight, mapLayer()])],
    ['no chunk map', manifest([module, weight])],
    ['two chunk maps', manifest([module, weight, mapLayer(), mapLayer()])],
    ['a chunk map that is not last', manifest([module, mapLayer(), weight])],
    ['a layer of unknown type', manifest([module, weight, blob('text/plain', 'x', 'x'), mapLayer()])],
    ['two files at one path', manifest([module, weight, { ...weight, digest: digestOf('x') }, mapLayer()])],
    [
      'two files at one path in other letters',
      manifest([module, weight, blob(mediaTypes.weight, 'x', 'models/digits/MODEL.onnx'), mapLayer()]),
    ],
    ['a file below a file', manifest([module, weight, blob(mediaTypes.weight, 'x', 'module.yaml/x'), mapLayer()])],
    ['an absolute path', manifest([module, blob(mediaTypes.weight, 'x', '/etc/x'), mapLayer()])],
    ['a path that leads out', manifest([module, blob(mediaTypes.weight, 'x', 'a/../../x'), mapLayer()])],
    ['a path with a backslash', manifest([module, blob(mediaTypes.weight, 'x', 'a\\..\\x'), mapLayer()])],
    ['a model without a path', manifest([module, blob(mediaTypes.weight, 'x'), mapLayer()])],
    ['a code layer with a path', manifest([module, blob(mediaTypes.code, 'x', 'x'), weight, mapLayer()])],
    [
      'a blob of two sizes',
      manifest([module, weight, { ...weight, size: 1, annotations: { [annotations.filepath]: 'y' } }, mapLayer()]),
    ],
    ['a module manifest of a gigabyte', manifest([{ ...module, size: 2 ** 30 }, weight, mapLayer()])],
    ['a chunk map of a gigabyte', manifest([module, weight, { ...mapLayer(), size: 2 ** 30 }])],
    ['a config of a gigabyte', manifest([module, weight, mapLayer()], { config: { ...config, size: 2 ** 30 } })],
    ['a config of another kind', manifest([module, weight, mapLayer()], { config: blob('text/plain', '{}') })],
    ['a model of a petabyte', manifest([module, { ...weight, size: 2 ** 50 }, mapLayer()])],
  ])('with %s is refused', (_what, bytes) => {
    expect(codeOf(() => check(bytes))).toBe('image.invalid');
  });
});

describe('a chunk map', () => {
  const withMap = (bytes: Uint8Array): string =>
    codeOf(() => checkChunkMap(check(manifest([module, code, weight, mapLayer(bytes)])), bytes));

  it('of every blob of the image is accepted', () => {
    expect(withMap(mapBytes())).toBe('accepted');
  });

  it('of another digest is refused', () => {
    expect(codeOf(() => checkChunkMap(check(good), Buffer.from('{}')))).toBe('blob.digest-mismatch');
  });

  it.each<[string, ChunkMap['blobs']]>([
    ['a blob missing', wholeMap.slice(1)],
    ['a blob of another image', [...wholeMap, chunkOf('stranger')]],
    ['a blob twice', [...wholeMap, chunkOf('module')]],
    [
      'another size',
      wholeMap.map((one) => (one.digest === module.digest ? { ...chunkOf('modul'), digest: one.digest } : one)),
    ],
    ['too few chunks', wholeMap.map((one) => (one.digest === weight.digest ? { ...one, chunks: [] } : one))],
    [
      'too many chunks',
      wholeMap.map((one) => (one.digest === weight.digest ? { ...one, chunks: [...one.chunks, ...one.chunks] } : one)),
    ],
  ])('with %s is refused', (_what, blobs) => {
    expect(withMap(mapBytes(blobs))).toBe('image.invalid');
  });

  it('with a chunk larger than one frame is refused', () => {
    const large = wholeMap.map((one) => ({ ...one, chunks: [{ length: 2 ** 20, sha256: sha256Hex('') }] }));
    expect(withMap(mapBytes(large))).toBe('image.invalid');
  });
});
