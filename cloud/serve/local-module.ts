/**
 * A module from a folder of this machine, as `flotilla image build` would take it: packed and unpacked
 * again with the same checks, so that what is served is what would go to devices. Signed by nobody.
 * A bare ONNX file is a module of its own, named as its file.
 */
import { mkdir, rm, stat, writeFile } from 'node:fs/promises';
import { basename, dirname, extname, join, resolve } from 'node:path';
import { AppError } from '#shared/kernel/errors.js';
import { namePattern } from '#shared/kernel/names.js';
import { errno } from '#shared/platform/atomic-file.js';
import { buildImage } from '#shared/package/build-image.js';
import { blobPath } from '#shared/package/oci-layout.js';
import type { ModuleManifest } from '#shared/package/module-manifest.js';
import { unpackImage } from '#shared/package/unpack-image.js';
import type { ServedModule } from '#shared/supervisor/served-module.js';

export interface LocalModule extends ServedModule {
  /** The folder or file that was given. */
  readonly source: string;
}

export interface OpenOptions {
  /** Folder of this run; each module gets one of its own below it. */
  readonly scratch: string;
  readonly nextId: () => number;
  /** In place of what the modules say. */
  readonly instances: ModuleManifest['instances'] | undefined;
}

/**
 * All of them, one after another; those of one name are its versions 1, 2, … in the order given.
 *
 * @throws AppError what is wrong with the first that cannot be served
 */
export async function openLocalModules(sources: readonly string[], options: OpenOptions): Promise<LocalModule[]> {
  const opened: LocalModule[] = [];
  try {
    for (const source of sources) {
      const { manifest, digest, folder } = await openOne(resolve(source), options);
      const { name } = manifest;
      const version = opened.filter((earlier) => earlier.name === name).length + 1;
      const { instances = manifest.instances } = options;
      const id = `${name}:${String(version)} ${digest}`;
      opened.push({
        ...{ id, name, version, digest, folder, source },
        manifest: { ...manifest, instances },
        settings: {},
      });
    }
    return opened;
  } catch (error) {
    await forgetLocalModules(opened);
    throw error;
  }
}

export async function forgetLocalModules(modules: readonly LocalModule[]): Promise<void> {
  for (const { folder } of modules) await rm(folder, { recursive: true, force: true });
}

interface Unpacked {
  readonly manifest: ModuleManifest;
  readonly digest: string;
  readonly folder: string;
}

async function openOne(source: string, { scratch, nextId }: OpenOptions): Promise<Unpacked> {
  const id = String(nextId());
  const layout = join(scratch, `layout-${id}`);
  const bare = join(scratch, `bare-${id}`);
  const target = join(scratch, `module-${id}`);
  try {
    const isBare = await isBareModel(source);
    if (isBare) await describeBareModel(source, bare);
    const built = await buildImage({
      moduleFolder: isBare ? bare : source,
      layout,
      log: () => undefined,
      ...(isBare ? { models: { [bareName(source)]: source } } : {}),
    });
    const { manifest } = await unpackImage({
      manifest: built.manifest,
      blobPath: (digest) => blobPath(layout, digest),
      target,
    });
    return { manifest, digest: built.digest, folder: target };
  } finally {
    // The unpacked module holds on to its weights by links of its own.
    for (const folder of [layout, bare]) await rm(folder, { recursive: true, force: true });
  }
}

async function isBareModel(source: string): Promise<boolean> {
  try {
    const found = await stat(source);
    if (found.isDirectory()) return false;
  } catch (error) {
    if (errno(error) !== 'ENOENT') throw new AppError('module.invalid', `cannot read ${source}`, { cause: error });
    throw new AppError('module.invalid', `there is no ${source}; give a folder with module.yaml, or an ONNX file`);
  }
  if (extname(source) === '.onnx') return true;
  const hint = basename(source) === 'module.yaml' ? `; give its folder, ${dirname(source)}` : '';
  throw new AppError('module.invalid', `${source} is neither a folder with module.yaml nor an ONNX file${hint}`);
}

async function describeBareModel(source: string, folder: string): Promise<void> {
  const name = bareName(source);
  const manifest = { schema: 1, name, flavor: 'onnx', models: [{ name, file: 'model.onnx' }] };
  await mkdir(folder);
  await writeFile(join(folder, 'module.yaml'), JSON.stringify(manifest));
}

/** `Mobile_Net.v2.onnx` is mobile-net-v2. */
function bareName(source: string): string {
  const words = basename(source, '.onnx')
    .toLowerCase()
    .split(/[^a-z0-9]+/)
    .filter((word) => word !== '');
  const name = words.join('-').slice(0, 63);
  return namePattern.test(name) ? name : 'model';
}
