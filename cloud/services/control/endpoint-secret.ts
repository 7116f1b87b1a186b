/** The file of the secret that keys of endpoints are derived from. Losing it changes them all. */
import { randomBytes } from 'node:crypto';
import { dirname } from 'node:path';
import { AppError } from '#shared/kernel/errors.js';
import { writeFileAtomic } from '#shared/platform/atomic-file.js';
import { makePrivateFolder, readTextIfPresent } from '#shared/platform/private-file.js';
import { type KeySeal, type SealedKey, sealedKeySchema } from '#cloud/trust/sealed-key.js';
import { secretBytes } from './endpoint-keys.js';

const name = 'endpoints';

/** Made where there is none. @throws AppError `state.corrupt` rather than replacing one that cannot be read */
export async function ensureEndpointSecret(path: string, seal: KeySeal): Promise<Buffer> {
  const text = await readTextIfPresent(path);
  if (text === undefined) {
    const secret = randomBytes(secretBytes);
    await makePrivateFolder(dirname(path));
    await write(path, secret, seal);
    return secret;
  }
  const sealed = readSealed(path, text);
  const secret = Buffer.from(await seal.open(name, sealed), 'base64');
  if (secret.length !== secretBytes) throw noSecret(path);
  if (!seal.isCurrent(sealed)) await write(path, secret, seal);
  return secret;
}

async function write(path: string, secret: Buffer, seal: KeySeal): Promise<void> {
  const sealed = await seal.seal(name, secret.toString('base64'));
  await writeFileAtomic(path, `${JSON.stringify(sealed)}\n`, { mode: 0o600 });
}

function readSealed(path: string, text: string): SealedKey {
  try {
    return sealedKeySchema.parse(JSON.parse(text));
  } catch (error) {
    throw noSecret(path, error);
  }
}

function noSecret(path: string, cause?: unknown): AppError {
  return new AppError(
    'state.corrupt',
    `${path} is not the secret of the endpoints' keys: restore it from a backup, or move it away, and every endpoint gets other keys`,
    { cause },
  );
}
