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
import { type KeySeal, type SealedKey, sealedKeySchema } from './sealed-key.js';

const name = 'director';

/** Made where there is none. @throws AppError `state.corrupt` rather than replacing a key that cannot be read */
export async function ensureDirectorKey(path: string, seal: KeySeal): Promise<SigningKey> {
  const found = await readDirectorKey(path, seal);
  if (found !== undefined) return found;
  const key = generateSigningKey();
  await makePrivateFolder(dirname(path));
  await writeDirectorKey(path, key, seal);
  return key;
}

/** @throws AppError `state.corrupt` */
export async function readDirectorKey(path: string, seal: KeySeal): Promise<SigningKey | undefined> {
  const text = await readTextIfPresent(path);
  if (text === undefined) return undefined;
  const sealed = readSealed(path, text);
  const pem = await seal.open(name, sealed);
  try {
    const key = importPrivateKeyPem(pem);
    if (!seal.isCurrent(sealed)) await writeDirectorKey(path, key, seal);
    return key;
  } catch (error) {
    throw noDirector(path, error);
  }
}

async function writeDirectorKey(path: string, key: SigningKey, seal: KeySeal): Promise<void> {
  const sealed = await seal.seal(name, exportPrivateKeyPem(key));
  await writeFileAtomic(path, `${JSON.stringify(sealed)}\n`, { mode: 0o600 });
}

function readSealed(path: string, text: string): SealedKey {
  try {
    return sealedKeySchema.parse(JSON.parse(text));
  } catch (error) {
    throw noDirector(path, error);
  }
}

function noDirector(path: string, cause: unknown): AppError {
  return new AppError('state.corrupt', `${path} is not the director's key: restore it from a backup`, { cause });
}
