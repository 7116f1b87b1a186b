/** The key that says what a device should run. Made at first start; losing it means enrolling every device anew. */
import { mkdir, readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { AppError } from '#shared/kernel/errors.js';
import {
  exportPrivateKeyPem,
  generateSigningKey,
  importPrivateKeyPem,
  type SigningKey,
} from '#shared/package/signing-key.js';
import { diskError, errno, writeFileAtomic } from '#shared/platform/atomic-file.js';

/** @throws AppError `state.corrupt` rather than replacing a key that cannot be read */
export async function ensureDirectorKey(path: string): Promise<SigningKey> {
  let pem: string;
  try {
    pem = await readFile(path, 'utf8');
  } catch (error) {
    if (errno(error) !== 'ENOENT') throw diskError(error, `cannot read ${path}`);
    const key = generateSigningKey();
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    await writeFileAtomic(path, exportPrivateKeyPem(key), { mode: 0o600 });
    return key;
  }
  try {
    return importPrivateKeyPem(pem);
  } catch (error) {
    throw new AppError('state.corrupt', `${path} is not the director's key: restore it from a backup`, {
      cause: error,
    });
  }
}
