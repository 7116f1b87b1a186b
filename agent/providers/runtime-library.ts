/** Where the onnxruntime lies that this program's scoring hosts load, and its version. It is not loaded. */
import { existsSync, readdirSync, readFileSync, realpathSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import * as z from 'zod';
import { AppError } from '#shared/kernel/errors.js';

export interface RuntimeLibrary {
  readonly version: string;
  /** The folder of the native library. */
  readonly folder: string;
}

/** The name by which onnxruntime's binding asks for the library on Linux. */
export const runtimeFile = 'libonnxruntime.so.1';

const packageSchema = z.object({ version: z.string() });

/** @throws AppError `process.failed` where there is none for this platform */
export function findRuntimeLibrary(platform: string, arch: string): RuntimeLibrary {
  const manifest = createRequire(import.meta.url).resolve('onnxruntime-node/package.json');
  const { version } = packageSchema.parse(JSON.parse(readFileSync(manifest, 'utf8')));
  const bin = join(dirname(manifest), 'bin');
  const folder = readdirSync(bin)
    .map((api) => join(bin, api, platform, arch))
    .find((path) => existsSync(path));
  if (folder === undefined) {
    throw new AppError('process.failed', `onnxruntime-node ${version} has no build for ${platform}-${arch}`);
  }
  return { version, folder: realpathSync(folder) };
}
