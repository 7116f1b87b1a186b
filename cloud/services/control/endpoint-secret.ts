/** The file of the secret that keys of endpoints are derived from. Losing it changes them all. */
import { randomBytes } from 'node:crypto';
import { AppError } from '#shared/kernel/errors.js';
import { readSealedFile, type SealedFile, writeSealedFile } from '#cloud/trust/sealed-file.js';
import type { KeySeal } from '#cloud/trust/sealed-key.js';
import { secretBytes } from './endpoint-keys.js';

/** Made where there is none. @throws AppError `state.corrupt` rather than replacing one that cannot be read */
export async function ensureEndpointSecret(path: string, seal: KeySeal): Promise<Buffer> {
  const file = fileOf(path, seal);
  const found = await readSealedFile(file, secretIn);
  if (found !== undefined) return found;
  const secret = randomBytes(secretBytes);
  await writeSealedFile(file, secret.toString('base64'));
  return secret;
}

function secretIn(text: string): Buffer {
  const secret = Buffer.from(text, 'base64');
  if (secret.length !== secretBytes) throw new Error(`it has ${String(secret.length)} bytes`);
  return secret;
}

function fileOf(path: string, seal: KeySeal): SealedFile {
  const message = `${path} is not the secret of the endpoints' keys: restore it from a backup, or move it away, and every endpoint gets other keys`;
  return { path, name: 'endpoints', seal, lost: (cause) => new AppError('state.corrupt', message, { cause }) };
}
