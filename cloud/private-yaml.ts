/** A YAML file with secrets that a setting names: for its owner alone, small, and never quoted in an error. */
import { readFile, stat } from 'node:fs/promises';
import { parse as parseYaml, YAMLParseError } from 'yaml';
import { AppError } from '#shared/kernel/errors.js';
import { errno } from '#shared/platform/atomic-file.js';

const maxFileBytes = 64 * 1024;

/** @param what its mapping is of, for messages @throws AppError `config.invalid` */
export async function readPrivateYaml(path: string, what: string): Promise<Readonly<Record<string, unknown>>> {
  try {
    const { size, mode } = await stat(path);
    if (size > maxFileBytes) throw new AppError('config.invalid', `${path} is larger than 64 KiB`);
    if (process.platform !== 'win32' && (mode & 0o077) !== 0) {
      throw new AppError('config.invalid', `${path} holds secrets and others may read it: chmod 600 ${path}`);
    }
    const document = parseYaml(await readFile(path, 'utf8'), { logLevel: 'error', maxAliasCount: 0 }) as unknown;
    if (typeof document === 'object' && document !== null && !Array.isArray(document)) {
      return document as Record<string, unknown>;
    }
    throw new AppError('config.invalid', `${path} must map ${what}`);
  } catch (error) {
    if (error instanceof AppError) throw error;
    // The parser's words quote the line, which may be the secret.
    const line = error instanceof YAMLParseError ? error.linePos?.[0].line : undefined;
    const why = line === undefined ? (errno(error) ?? 'it is not YAML') : `line ${String(line)} is not YAML`;
    throw new AppError('config.invalid', `${path} cannot be read: ${why}`, { cause: error });
  }
}
