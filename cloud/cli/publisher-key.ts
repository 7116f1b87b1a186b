/**
 * This machine's publisher key: it signs the images that are built here. The private half never
 * leaves the file, which is 0600; a key that others can read is refused, not used.
 */
import { link, readFile, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { AppError } from '#shared/kernel/errors.js';
import {
  exportPrivateKeyPem,
  generateSigningKey,
  importPrivateKeyPem,
  type SigningKey,
} from '#shared/package/signing-key.js';
import { diskError, errno, writeFileAtomic } from '#shared/platform/atomic-file.js';
import { makePrivateFolder } from '#shared/platform/private-file.js';

export function publisherKeyPath(home: string): string {
  return join(home, 'keys', 'publisher.pem');
}

/** Undefined when there is none yet. */
export async function readPublisherKey(home: string): Promise<SigningKey | undefined> {
  const path = publisherKeyPath(home);
  let pem: string;
  try {
    const { mode } = await stat(path);
    if (process.platform !== 'win32' && (mode & 0o077) !== 0) {
      throw new AppError('config.invalid', `${path} can be read by others than its owner; chmod 600 ${path}`);
    }
    pem = await readFile(path, 'utf8');
  } catch (error) {
    if (errno(error) === 'ENOENT') return undefined;
    throw error instanceof AppError ? error : diskError(error, `cannot read ${path}`);
  }
  try {
    return importPrivateKeyPem(pem);
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    throw new AppError(error.code, `${path}: ${error.message}`, { cause: error });
  }
}

/** The key, made where there is none; of two that make one at once, the first wins for both. */
export async function ensurePublisherKey(home: string): Promise<{ key: SigningKey; made: boolean }> {
  const existing = await readPublisherKey(home);
  if (existing) return { key: existing, made: false };
  const path = publisherKeyPath(home);
  const key = generateSigningKey();
  const temporary = `${path}.${key.keyId.slice(0, 16)}`;
  await makePrivateFolder(dirname(path));
  try {
    await writeFileAtomic(temporary, exportPrivateKeyPem(key), { mode: 0o600 });
    await link(temporary, path);
    return { key, made: true };
  } catch (error) {
    if (errno(error) !== 'EEXIST') throw error instanceof AppError ? error : diskError(error, `cannot write ${path}`);
    const winner = await readPublisherKey(home);
    if (winner === undefined) throw diskError(error, `cannot write ${path}`);
    return { key: winner, made: false };
  } finally {
    await rm(temporary, { force: true });
  }
}

/** The key for a command that needs one, with a notice when it was made for it. */
export async function needPublisherKey(home: string, note: (text: string) => void): Promise<SigningKey> {
  const { key, made } = await ensurePublisherKey(home);
  if (made) {
    note(`made this machine's publisher key: ${publisherKeyPath(home)}; keep a copy, devices trust images by it`);
  }
  return key;
}
