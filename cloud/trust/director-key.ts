/** The file of a key that says what a device should run. Losing the only one means enrolling every device anew. */
import { dirname } from 'node:path';
import { AppError } from '#shared/kernel/errors.js';
import {
  exportPrivateKeyPem,
  generateSigningKey,
  importPrivateKeyPem,
  type SigningKey,
} from '#shared/package/signing-key.js';
import { writeFileAtomic } from '#shared/platform/atomic-file.js';
import { makePrivateFolder, readTextIfPresent } from '#shared/platform/private-file.js';

/** Made where there is none. @throws AppError `state.corrupt` rather than replacing a key that cannot be read */
export async function ensureDirectorKey(path: string): Promise<SigningKey> {
  const found = await readDirectorKey(path);
  if (found !== undefined) return found;
  const key = generateSigningKey();
  await makePrivateFolder(dirname(path));
  await writeFileAtomic(path, exportPrivateKeyPem(key), { mode: 0o600 });
  return key;
}

/** @throws AppError `state.corrupt` */
export async function readDirectorKey(path: string): Promise<SigningKey | undefined> {
  const pem = await readTextIfPresent(path);
  if (pem === undefined) return undefined;
  try {
    return importPrivateKeyPem(pem);
  } catch (error) {
    throw new AppError('state.corrupt', `${path} is not the director's key: restore it from a backup`, {
      cause: error,
    });
  }
}
