/**
 * Makes a module's folder from the blobs of an image whose manifest was checked and signature
 * verified. The folder appears complete, on disk and under its name, or not at all. Weights are hard
 * links to their blobs where the file system can, so that a version costs its space once; hence all
 * files are read-only.
 */
import {
  chmod,
  constants,
  copyFile,
  link,
  lstat,
  mkdir,
  open,
  readdir,
  readFile,
  rename,
  rm,
  stat,
} from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { isThere } from '#shared/platform/is-there.js';
import { AppError } from '#shared/kernel/errors.js';
import type { Digest } from '#shared/protocol/primitives.js';
import { diskError, errno, syncFolder } from '#shared/platform/atomic-file.js';
import { filepathOf } from './check-image.js';
import { digestFile, digestOf } from './digest.js';
import type { Descriptor, ImageManifest } from './image-schema.js';
import { mediaTypes } from './media-types.js';
import type { ModuleManifest } from './module-manifest.js';
import { packedPaths } from './module-files.js';
import { PathClaims } from './path-claims.js';
import { decodeModuleManifest } from './read-manifest.js';
import { type ArchiveLimits, defaultArchiveLimits, unpackArchive } from './unpack-archive.js';

export interface UnpackInput {
  readonly manifest: ImageManifest;
  /** Where the verified blob lies. */
  readonly blobPath: (digest: Digest) => string;
  /** The folder to make. One that exists is complete, and left as it is. */
  readonly target: string;
  readonly limits?: ArchiveLimits;
}

/** Of a folder that {@link unpackImage} made. @throws AppError `module.invalid`; what the disk says is thrown as it is */
export async function readUnpackedManifest(folder: string): Promise<ModuleManifest> {
  const path = join(folder, packedPaths.manifest);
  return decodeModuleManifest(await readFile(path), path);
}

/** @throws AppError `archive.unsafe`, `archive.too-large`, `module.invalid`, `blob.corrupt` */
export async function unpackImage(input: UnpackInput): Promise<{ manifest: ModuleManifest }> {
  const module = await readModule(input);
  try {
    if (await isThere(input.target)) return { manifest: module };
    // One name, so that what a kill left behind is cleared away by the next attempt.
    const staging = `${input.target}.unpacking`;
    await rm(staging, { recursive: true, force: true });
    await mkdir(staging, { recursive: true });
    try {
      await fill(staging, input, module);
      await syncFolders(staging);
      await rename(staging, input.target);
    } catch (error) {
      await rm(staging, { recursive: true, force: true });
      throw error;
    }
    await syncFolder(dirname(input.target));
  } catch (error) {
    throw error instanceof AppError ? error : diskError(error, `cannot unpack into ${input.target}`);
  }
  return { manifest: module };
}

async function readModule({ manifest, blobPath }: UnpackInput): Promise<ModuleManifest> {
  const layer = manifest.layers.find(({ mediaType }) => mediaType === mediaTypes.moduleManifest);
  if (layer === undefined) throw new AppError('module.invalid', 'the image has no module manifest');
  const path = blobPath(layer.digest);
  await checkSize(layer, path);
  const bytes = await readFile(path).catch((error: unknown) => {
    throw diskError(error, `cannot read the blob ${layer.digest}`);
  });
  if (digestOf(bytes) !== layer.digest) throw corrupt(layer);
  return decodeModuleManifest(bytes, "the image's module manifest");
}

async function fill(folder: string, input: UnpackInput, module: ModuleManifest): Promise<void> {
  const claims = new PathClaims();
  for (const layer of input.manifest.layers) {
    const path = filepathOf(layer);
    if (path === undefined) continue;
    if (!claims.claimFile(path)) throw new AppError('archive.unsafe', `two files of the image lie at ${path}`);
    await placeBlob(layer, input.blobPath(layer.digest), join(folder, path));
  }
  const code = input.manifest.layers.find(({ mediaType }) => mediaType === mediaTypes.code);
  if (code !== undefined) {
    const archive = input.blobPath(code.digest);
    await checkSize(code, archive);
    if ((await digestFile(archive)).digest !== code.digest) throw corrupt(code);
    await unpackArchive(archive, folder, claims, input.limits ?? defaultArchiveLimits);
  }
  await requireFiles(folder, module);
}

/** Everything that the manifest names is there. */
async function requireFiles(folder: string, module: ModuleManifest): Promise<void> {
  const named = module.models.map(({ file }) => file);
  if (module.golden !== undefined) named.push(module.golden.file);
  if (module.flavor === 'node') named.push(module.entry);
  for (const file of named) {
    const found = await lstat(join(folder, file)).catch(() => undefined);
    if (found?.isFile() !== true)
      throw new AppError('module.invalid', `the image lacks ${file}, which its manifest names`);
  }
}

async function placeBlob(layer: Descriptor, blob: string, target: string): Promise<void> {
  await checkSize(layer, blob);
  await mkdir(dirname(target), { recursive: true });
  try {
    await link(blob, target);
  } catch (error) {
    // Another file system, one without hard links, or a blob with too many.
    if (!['EXDEV', 'EPERM', 'EMLINK', 'ENOTSUP', 'ENOSYS', 'EACCES'].includes(errno(error) ?? '')) throw error;
    await copyFile(blob, target, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE);
  }
  await chmod(target, 0o444);
  const file = await open(target, 'r');
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}

async function checkSize(layer: Descriptor, path: string): Promise<void> {
  const found = await stat(path).catch((error: unknown) => {
    throw errno(error) === 'ENOENT'
      ? new AppError('blob.not-found', `the blob ${layer.digest} is not in the store`)
      : diskError(error, `cannot read the blob ${layer.digest}`);
  });
  if (found.size !== layer.size) throw corrupt(layer);
}

function corrupt(layer: Descriptor): AppError {
  return new AppError('blob.corrupt', `the blob ${layer.digest} no longer has its content; fetch it again`, {
    details: { digest: layer.digest },
  });
}

async function syncFolders(folder: string): Promise<void> {
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    if (entry.isDirectory()) await syncFolders(join(folder, entry.name));
  }
  await syncFolder(folder);
}
