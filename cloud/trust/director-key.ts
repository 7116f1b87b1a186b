/** The file of a key that says what a device should run. Losing the only one means enrolling every device anew. */
import { AppError } from '#shared/kernel/errors.js';
import {
  exportPrivateKeyPem,
  generateSigningKey,
  importPrivateKeyPem,
  type SigningKey,
} from '#shared/package/signing-key.js';
import { readSealedFile, type SealedFile, writeSealedFile } from './sealed-file.js';
import type { KeySeal } from './sealed-key.js';

/** Made where there is none. @throws AppError `state.corrupt` rather than replacing a key that cannot be read */
export async function ensureDirectorKey(path: string, seal: KeySeal): Promise<SigningKey> {
  const found = await readDirectorKey(path, seal);
  if (found !== undefined) return found;
  const key = generateSigningKey();
  await writeSealedFile(fileOf(path, seal), exportPrivateKeyPem(key));
  return key;
}

/** @throws AppError `state.corrupt` */
export function readDirectorKey(path: string, seal: KeySeal): Promise<SigningKey | undefined> {
  return readSealedFile(fileOf(path, seal), importPrivateKeyPem);
}

function fileOf(path: string, seal: KeySeal): SealedFile {
  const message = `${path} is not the director's key: restore it from a backup`;
  return { path, name: 'director', seal, lost: (cause) => new AppError('state.corrupt', message, { cause }) };
}
