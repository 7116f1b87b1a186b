/**
 * Builds an image into an OCI layout. The digest depends on the files alone: no time, path, owner or
 * name of the machine goes in, so the same input is the same digest anywhere. Files are copied first
 * and read from the copy, so that what was checked is what was packed.
 */
import { readFile, realpath, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { AppError } from '#shared/kernel/errors.js';
import { canonicalJson } from '#shared/protocol/canonical-json.js';
import type { Digest } from '#shared/protocol/primitives.js';
import { diskError } from '#shared/platform/atomic-file.js';
import { checkManifest, maxWeightBytes } from './check-image.js';
import { checkTelemetry } from './check-telemetry.js';
import { buildChunkMap, encodeChunkMap, maxChunkMapBytes } from './chunk-map.js';
import { maxGoldenBytes, readGoldenFile } from './golden-file.js';
import type { ChunkMap, Descriptor, ImageManifest } from './image-schema.js';
import { annotations, mediaTypes } from './media-types.js';
import {
  containedFile,
  locateExternal,
  locateModels,
  type ModelSource,
  packedPaths,
  plainFile,
  refuseCollisions,
} from './module-files.js';
import { goldenSchema, type ModuleManifest } from './module-manifest.js';
import { addToIndex, blobPath, copyBlob, writeBlob, writeLayout } from './oci-layout.js';
import { type OnnxModel, type OnnxSignature, readOnnx } from './onnx/read-onnx.js';
import { encodeModuleManifest, maxManifestBytes, readModuleManifest } from './read-manifest.js';
import { moduleRoutes, ownRouteProblems } from './routes/check-routes.js';
import { type ArchiveFile, writeArchive } from './write-archive.js';

/** What protobuf, and with it onnxruntime, can read as one message. */
const defaultMaxModelBytes = 2 ** 31 - 1;

export interface BuildInput {
  readonly moduleFolder: string;
  /** ONNX files that take the place of those in the folder, by the model's name. */
  readonly models?: Readonly<Record<string, string>>;
  /** Golden vectors that take the place of those in the folder. */
  readonly goldenFile?: string;
  /** OCI layout to write to; made when missing. */
  readonly layout: string;
  /** The name under which the layout's index lists the image; the module's name when absent. */
  readonly refName?: string;
  readonly maxModelBytes?: number;
  readonly log: (line: string) => void;
}

export interface BuiltBlob {
  readonly digest: Digest;
  readonly size: number;
  readonly mediaType: string;
  /** The file in the layout. */
  readonly path: string;
  /** Where it lies in the unpacked module. */
  readonly filepath?: string;
}

export interface BuiltImage {
  readonly name: string;
  readonly flavor: ModuleManifest['flavor'];
  readonly digest: Digest;
  readonly manifest: ImageManifest;
  /** All that must be uploaded, the image's manifest last. */
  readonly blobs: readonly BuiltBlob[];
  readonly chunkMap: Digest;
}

interface PackedModel {
  readonly onnx: OnnxModel;
  readonly layers: readonly Layer[];
}

interface Layer {
  readonly descriptor: Descriptor;
  readonly cuts: readonly number[];
}

/** @throws AppError `module.invalid`, `module.not-yet`, `model.not-onnx`, `model.invalid`, `archive.too-large`, `disk.*` */
export async function buildImage(input: BuildInput): Promise<BuiltImage> {
  const folder = await moduleFolder(input.moduleFolder);
  const given = await readManifestFile(folder);
  input.log(`module ${given.name}, flavor ${given.flavor}`);
  const sources = await locateModels(folder, given, input.models ?? {});
  const code = await collectCode(folder, given, input);
  await writeLayout(input.layout);

  const weights: Layer[] = [];
  const signatures = new Map<string, OnnxSignature>();
  for (const source of sources) {
    const { onnx, layers } = await packModel(source, input);
    if (given.flavor === 'onnx') refuseRoutes(given, onnx, folder);
    weights.push(...layers);
    signatures.set(source.name, onnx.signature);
  }
  checkTelemetry(given, signatures, join(folder, 'module.yaml'));
  const packed = packedManifest(given, sources, code);
  const layers = [
    await packBytes(input.layout, encodeModuleManifest(packed), mediaTypes.moduleManifest, packedPaths.manifest),
    ...(code.length > 0 ? [await packBytes(input.layout, await writeArchive(code), mediaTypes.code)] : []),
    ...weights,
  ];
  refuseCollisions([...layers.flatMap(({ descriptor }) => pathOf(descriptor) ?? []), ...code.map(({ path }) => path)]);
  return finish(input, packed, layers);
}

async function moduleFolder(path: string): Promise<string> {
  const resolved = await realpath(path).catch((error: unknown) => {
    throw new AppError('module.invalid', `there is no folder ${path}`, { cause: error });
  });
  if (!(await stat(resolved)).isDirectory()) {
    throw new AppError('module.invalid', `${path} is not a folder; give the folder that has module.yaml`);
  }
  return resolved;
}

async function readManifestFile(folder: string): Promise<ModuleManifest> {
  const path = await containedFile(folder, 'module.yaml', 'the module manifest');
  return readModuleManifest((await readBounded(path, maxManifestBytes)).toString('utf8'), path);
}

/** Golden vectors and the bundled script: small files, in one archive. */
async function collectCode(folder: string, manifest: ModuleManifest, input: BuildInput): Promise<ArchiveFile[]> {
  const files: ArchiveFile[] = [];
  const golden =
    input.goldenFile !== undefined
      ? await plainFile(input.goldenFile, 'golden vectors')
      : manifest.golden && (await containedFile(folder, manifest.golden.file, 'golden vectors'));
  if (golden !== undefined) {
    const bytes = await readBounded(golden, maxGoldenBytes);
    const vectors = readGoldenFile(bytes, golden);
    files.push({ path: packedPaths.golden, bytes });
    input.log(`${String(vectors.length)} golden vectors`);
  }
  if (manifest.flavor === 'node') {
    await containedFile(folder, manifest.entry, 'the entry');
    const { bundleScript } = await import('./bundle-script.js');
    const bytes = await bundleScript(folder, manifest.entry);
    files.push({ path: packedPaths.script, bytes });
    input.log(`script ${manifest.entry} bundled: ${String(bytes.length)} bytes`);
  }
  return files;
}

/** The model and its external data, in the layout, with the boundaries of their tensors. */
async function packModel(model: ModelSource, { layout, maxModelBytes, log }: BuildInput): Promise<PackedModel> {
  const main = await packFile(layout, model, maxModelBytes ?? defaultMaxModelBytes);
  const onnx = await readModel(blobPath(layout, main.digest), model);
  log(`model ${model.name}: ${String(main.size)} bytes, ${main.digest}`);
  const layers = [{ descriptor: main, cuts: onnx.tensors.flatMap(({ offset, length }) => [offset, offset + length]) }];
  for (const location of onnx.externalFiles) {
    const descriptor = await packFile(layout, await locateExternal(model, location), maxWeightBytes);
    log(`model ${model.name}, ${location}: ${String(descriptor.size)} bytes, ${descriptor.digest}`);
    layers.push({ descriptor, cuts: externalCuts(onnx, location) });
  }
  return { onnx, layers };
}

/** Pictures must fit the tensor of the model that they go to, which the manifest alone does not tell. */
function refuseRoutes(manifest: ModuleManifest, { signature }: OnnxModel, folder: string): void {
  const [first] = ownRouteProblems({ ...moduleRoutes(manifest), signature }, manifest.name);
  if (first === undefined) return;
  throw new AppError('module.invalid', `${folder}/module.yaml: routes.${first.route}: ${first.message}`);
}

/** An error about the copy names the file that the user gave. */
async function readModel(copy: string, { source }: ModelSource): Promise<OnnxModel> {
  try {
    return await readOnnx(copy);
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    throw new AppError(error.code, error.message.replace(copy, source), { details: error.details, cause: error });
  }
}

function externalCuts(onnx: OnnxModel, file: string): number[] {
  return onnx.externalTensors
    .filter((tensor) => tensor.file === file)
    .flatMap(({ offset, length }) => (length === undefined ? [offset] : [offset, offset + length]));
}

/** The manifest as it is true of the unpacked folder. */
function packedManifest(
  given: ModuleManifest,
  sources: readonly ModelSource[],
  code: readonly ArchiveFile[],
): ModuleManifest {
  const models = sources.map(({ name, path }) => ({ name, file: path }));
  const hasGolden = code.some(({ path }) => path === packedPaths.golden);
  const golden = hasGolden ? goldenSchema.parse({ ...given.golden, file: packedPaths.golden }) : undefined;
  const { golden: _given, ...rest } = given;
  const packed = rest.flavor === 'node' ? { ...rest, models, entry: packedPaths.script } : { ...rest, models };
  return golden === undefined ? packed : { ...packed, golden };
}

async function packFile(layout: string, { source, path }: ModelSource, maxBytes: number): Promise<Descriptor> {
  const { size } = await stat(source);
  if (size > maxBytes) {
    throw new AppError(
      'archive.too-large',
      `${source} has ${String(size)} bytes, at most ${String(maxBytes)} are taken`,
    );
  }
  return { mediaType: mediaTypes.weight, ...(await copyBlob(layout, source, maxBytes)), annotations: located(path) };
}

async function packBytes(layout: string, bytes: Uint8Array, mediaType: string, path?: string): Promise<Layer> {
  const blob = await writeBlob(layout, bytes);
  const descriptor = { mediaType, ...blob, ...(path === undefined ? {} : { annotations: located(path) }) };
  return { descriptor, cuts: [] };
}

/** Config, chunk map, manifest, and the entry in the index. */
async function finish(input: BuildInput, module: ModuleManifest, layers: readonly Layer[]): Promise<BuiltImage> {
  const { layout } = input;
  const config = await packBytes(layout, encodeConfig(module, layers), mediaTypes.config);
  const mapBytes = await mapChunks(layout, [...layers, config]);
  const chunkMap = await packBytes(layout, mapBytes, mediaTypes.chunkMap);
  const all = [...layers, chunkMap].map(({ descriptor }) => descriptor);
  const bytes = Buffer.from(
    canonicalJson({
      schemaVersion: 2,
      mediaType: mediaTypes.manifest,
      artifactType: mediaTypes.artifact,
      config: config.descriptor,
      layers: all,
      annotations: { [annotations.title]: module.name, [annotations.flavor]: module.flavor },
    }),
  );
  const { digest, size } = await writeBlob(layout, bytes);
  const manifest = checkManifest(bytes, digest);
  const descriptor = { mediaType: mediaTypes.manifest, digest, size };
  await addToIndex(layout, descriptor, input.refName ?? module.name);
  input.log(`image ${module.name}: ${digest}`);
  return {
    name: module.name,
    flavor: module.flavor,
    digest,
    manifest,
    blobs: [config.descriptor, ...all, descriptor].map((blob) => builtBlob(layout, blob)),
    chunkMap: chunkMap.descriptor.digest,
  };
}

/** ModelPack's config. `diffIds` leaves out the chunk map, which describes this config too. */
function encodeConfig(module: ModuleManifest, layers: readonly Layer[]): Uint8Array {
  return Buffer.from(
    canonicalJson({
      descriptor: { name: module.name, description: module.description },
      config: { format: 'onnx' },
      modelfs: { type: 'layers', diffIds: layers.map(({ descriptor }) => descriptor.digest) },
    }),
  );
}

/** Cut at tensors; where those are so many that the map would be too large, at every 256 KiB. */
async function mapChunks(layout: string, layers: readonly Layer[]): Promise<Uint8Array> {
  const unique = new Map(layers.map((layer) => [layer.descriptor.digest, layer]));
  const build = async (aligned: boolean): Promise<ChunkMap> =>
    buildChunkMap(
      [...unique.values()].map(({ descriptor: { digest, size }, cuts }) => ({
        digest,
        size,
        path: blobPath(layout, digest),
        cuts: aligned ? cuts : [],
      })),
    );
  const bytes = encodeChunkMap(await build(true));
  return bytes.length <= maxChunkMapBytes ? bytes : encodeChunkMap(await build(false));
}

function builtBlob(layout: string, { digest, size, mediaType, annotations: notes }: Descriptor): BuiltBlob {
  const blob = { digest, size, mediaType, path: blobPath(layout, digest) };
  const filepath = notes?.[annotations.filepath];
  return filepath === undefined ? blob : { ...blob, filepath };
}

function located(path: string): Record<string, string> {
  return { [annotations.filepath]: path };
}

function pathOf(descriptor: Descriptor): string | undefined {
  return descriptor.annotations?.[annotations.filepath];
}

async function readBounded(path: string, maxBytes: number): Promise<Buffer> {
  try {
    const { size } = await stat(path);
    if (size > maxBytes) {
      throw new AppError('module.invalid', `${path} has ${String(size)} bytes, at most ${String(maxBytes)} are taken`);
    }
    return await readFile(path);
  } catch (error) {
    throw error instanceof AppError ? error : diskError(error, `cannot read ${path}`);
  }
}
