/** Input that the user names: a file, or `-` for standard input. */
import { readFile } from 'node:fs/promises';
import { AppError } from '#shared/kernel/errors.js';
import { readBounded } from '#shared/platform/bounded-body.js';
import { diskError, errno } from '#shared/platform/atomic-file.js';
import type { CliIo } from './cli-io.js';

const maxInputBytes = 16 * 1024 * 1024;

export async function readAll(input: AsyncIterable<Uint8Array>, where: string): Promise<string> {
  const refusal = (): AppError => new AppError('request.too-large', `${where} holds more than 16 MiB`);
  return (await readBounded(input, maxInputBytes, refusal)).toString('utf8');
}

/** @throws AppError that names the file and what is wrong with it */
export async function readJsonInput(io: CliIo, path: string): Promise<unknown> {
  const where = path === '-' ? 'standard input' : path;
  const text = path === '-' ? await readAll(io.stdin, where) : await readTextFile(path);
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    const why = error instanceof Error ? error.message : 'unreadable';
    throw new AppError('request.invalid', `${where} is not JSON: ${why}`, { cause: error });
  }
}

export async function readTextFile(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    throw fileError(error, path);
  }
}

/** For a file that the user named. */
export function fileError(error: unknown, path: string): AppError {
  const code = errno(error instanceof AppError ? error.cause : error);
  if (code === 'ENOENT') {
    return new AppError('request.invalid', `${path}: there is no such file`, { cause: error });
  }
  if (code === 'EISDIR') return new AppError('request.invalid', `${path} is a folder, not a file`, { cause: error });
  return error instanceof AppError ? error : diskError(error, `cannot read ${path}`);
}
