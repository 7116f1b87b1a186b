/**
 * The files that go into an image, as paths on the machine that builds it: each found, regular, and
 * within the folder that it must not lead out of. Decides where each lies in the unpacked module.
 */
import { realpath, stat } from 'node:fs/promises';
import { basename, dirname, join, posix, relative, sep } from 'node:path';
import { AppError } from '#shared/kernel/errors.js';
import { diskError, errno } from '#shared/platform/atomic-file.js';
import type { ModuleManifest } from './module-manifest.js';
import { relativePathSchema } from '#shared/protocol/primitives.js';
import { PathClaims } from './path-claims.js';

/** Names in the unpacked folder that do not come from the module. */
export const packedPaths = { manifest: 'module.yaml', golden: 'golden.json', script: 'script.mjs' } as const;

export interface ModelSource {
  readonly name: string;
  /** The file, without symbolic links. */
  readonly source: string;
  /** Where its external data lies: the folder in which the user sees the model. */
  readonly beside: string;
  /** In the unpacked folder. */
  readonly path: string;
}

/** Each model in a folder of its own, so that external data of two models cannot meet. */
export async function locateModels(
  folder: string,
  manifest: ModuleManifest,
  overrides: Readonly<Record<string, string>>,
): Promise<ModelSource[]> {
  const names = manifest.models.map(({ name }) => name);
  const stranger = Object.keys(overrides).find((name) => !names.includes(name));
  if (stranger !== undefined) {
    throw new AppError('module.invalid', `the module has no model "${stranger}"; it has ${names.join(', ')}`);
  }
  const sources: ModelSource[] = [];
  for (const { name, file } of manifest.models) {
    const given = overrides[name];
    const what = `model "${name}"`;
    const source = given === undefined ? await containedFile(folder, file, what) : await plainFile(given, what);
    const beside = dirname(given ?? join(folder, file));
    sources.push({ name, source, beside, path: `models/${name}/${basename(file)}` });
  }
  return sources;
}

/** A file of weights beside its model: where it is, and where it will lie. */
export async function locateExternal(model: ModelSource, location: string): Promise<ModelSource> {
  const source = await containedFile(model.beside, location, `external data of model "${model.name}"`);
  return { ...model, source, path: posix.join(posix.dirname(model.path), location) };
}

export function refuseCollisions(paths: readonly string[]): void {
  const claims = new PathClaims();
  for (const path of paths) {
    const checked = relativePathSchema.safeParse(path);
    if (!checked.success) {
      throw new AppError('module.invalid', `the path ${path} ${checked.error.issues[0]?.message ?? 'is refused'}`);
    }
    if (!claims.claimFile(path))
      throw new AppError('module.invalid', `two files would lie at ${path} in the image; rename one`);
  }
}

/** @param path relative to the folder, as `relativePathSchema` has it */
export async function containedFile(folder: string, path: string, what: string): Promise<string> {
  const resolved = await plainFile(join(folder, path), what);
  const within = relative(await realpath(folder), resolved);
  if (within === '..' || within.startsWith(`..${sep}`)) {
    throw new AppError(
      'module.invalid',
      `${what}: ${path} is a link that leads out of ${folder}; put the file itself there`,
    );
  }
  return resolved;
}

/** @returns the path without symbolic links */
export async function plainFile(path: string, what: string): Promise<string> {
  try {
    const resolved = await realpath(path);
    if ((await stat(resolved)).isFile()) return resolved;
  } catch (error) {
    if (errno(error) === 'ENOENT' || errno(error) === 'ENOTDIR' || errno(error) === 'ELOOP') {
      throw new AppError('module.invalid', `${what}: there is no file ${path}`, { cause: error });
    }
    throw diskError(error, `cannot read ${path}`);
  }
  throw new AppError('module.invalid', `${what}: ${path} is not a file`);
}
