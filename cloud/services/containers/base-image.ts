/** What containers of replicas stand on: a folder that is a root file system, or an image that the engine has. */
import { realpath, rm, stat } from 'node:fs/promises';
import { join, resolve, sep } from 'node:path';
import { AppError } from '#shared/kernel/errors.js';
import type { Engine } from './engine.js';
import { folderEntries } from './folder-entries.js';
import { type Layer, layerOf } from './layer.js';
import { readSavedImage } from './saved-image.js';
import { architecture } from './platform.js';

export type BaseChoice = { readonly folder: string } | { readonly image: string };

export interface BaseParts {
  readonly layers: readonly Layer[];
  readonly env: readonly string[];
  /** What was written to the disk to read it. */
  close(): Promise<void>;
}

export interface Base {
  /** The same for the same content. */
  readonly key: string;
  open(): Promise<BaseParts>;
}

export const maxBaseBytes = 8 * 1024 ** 3;
const usualEnv = ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'];
/** The engine mounts its own there. */
const notOfAnImage = /^(dev|proc|sys)\//;

/**
 * @param workFolder the service host's own: what lies there is no part of an image, and what is unpacked goes there
 * @throws AppError `config.invalid`, `image.not-found`, `image.invalid`, `engine.*`, `disk.*`
 */
export async function findBase(choice: BaseChoice, engine: Engine, workFolder: string): Promise<Base> {
  return 'folder' in choice ? baseOfFolder(choice.folder, workFolder) : baseOfImage(choice.image, engine, workFolder);
}

async function baseOfFolder(folder: string, workFolder: string): Promise<Base> {
  const root = await realpath(folder).catch(() => undefined);
  const isFolder = root !== undefined && (await stat(root)).isDirectory();
  if (!isFolder)
    throw new AppError('config.invalid', `the base ${folder} is no folder: name one that holds a root file system`);
  // Such as "/": an image would hold this machine's secrets.
  if (`${resolve(await realpath(workFolder))}${sep}`.startsWith(root.endsWith(sep) ? root : `${root}${sep}`)) {
    throw new AppError(
      'config.invalid',
      `the base ${folder} holds this service host's own files: name a folder that is a root file system and nothing else`,
    );
  }
  const entries = await folderEntries(root, {
    prefix: '',
    modeOf: (mode) => mode & 0o777,
    takes: (path) => !notOfAnImage.test(path),
    maxBytes: maxBaseBytes,
  });
  const layer = await layerOf(entries);
  const parts: BaseParts = { layers: [layer], env: usualEnv, close: async () => undefined };
  return { key: layer.digest, open: async () => parts };
}

async function baseOfImage(name: string, engine: Engine, workFolder: string): Promise<Base> {
  const found = await engine.image(name).catch((error: unknown) => {
    if (!(error instanceof AppError && error.code === 'image.not-found')) throw error;
    throw new AppError(
      'image.not-found',
      `the container engine has no image ${name}, the base of replicas: pull it first`,
      { cause: error },
    );
  });
  if (found.Architecture !== architecture) {
    throw new AppError(
      'config.invalid',
      `the base ${name} is for ${found.Architecture}, and this machine is ${architecture}`,
    );
  }
  return {
    key: found.Id,
    open: async () => {
      const folder = join(workFolder, 'base-image');
      const close = (): Promise<void> => rm(folder, { recursive: true, force: true });
      try {
        // By its id: the name may be another image's by now.
        const { layers, env } = await readSavedImage(await engine.saveImage(found.Id), folder, maxBaseBytes);
        return { layers, env: env.length > 0 ? env : usualEnv, close };
      } catch (error) {
        await close();
        throw error;
      }
    },
  };
}
