/**
 * Who may load and unload models on this device over HTTP: whoever can read this file. It is made at the
 * first start and stays, so that what an operator set up goes on; without it, the next start makes another.
 */
import { randomBytes } from 'node:crypto';
import { chmod } from 'node:fs/promises';
import { diskError, writeFileAtomic } from '#shared/platform/atomic-file.js';
import { readTextIfPresent } from '#shared/platform/private-file.js';

const secretBytes = 32;
const form = /^[A-Za-z0-9_-]{43}$/;

/** @throws AppError `disk.*` */
export async function readControlToken(path: string): Promise<string> {
  const kept = (await readTextIfPresent(path))?.trim();
  if (kept !== undefined && form.test(kept)) {
    // A copy, or a careless hand, may have opened it to others.
    await chmod(path, 0o600).catch((error: unknown) => {
      throw diskError(error, `cannot close ${path} to others`);
    });
    return kept;
  }
  const token = randomBytes(secretBytes).toString('base64url');
  await writeFileAtomic(path, `${token}\n`, { mode: 0o600 });
  return token;
}
