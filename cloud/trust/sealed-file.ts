/** One secret, sealed, in a private file of its own. */
import { dirname } from 'node:path';
import type { AppError } from '#shared/kernel/errors.js';
import { writeFileAtomic } from '#shared/platform/atomic-file.js';
import { makePrivateFolder, readTextIfPresent } from '#shared/platform/private-file.js';
import { type KeySeal, type SealedKey, sealedKeySchema } from './sealed-key.js';

export interface SealedFile {
  readonly path: string;
  /** What is bound to the sealed text, so that no other secret can be put in its place. */
  readonly name: string;
  readonly seal: KeySeal;
  /** What to say when the file is not what it should be. */
  readonly lost: (cause: unknown) => AppError;
}

/**
 * Sealed anew where the key that seals has changed. A file that cannot be read is never replaced by itself.
 *
 * @param parse throws where the text is no such secret
 * @returns undefined where there is no file
 * @throws AppError `state.corrupt`
 */
export async function readSealedFile<T>(file: SealedFile, parse: (secret: string) => T): Promise<T | undefined> {
  const { path, name, seal, lost } = file;
  const text = await readTextIfPresent(path);
  if (text === undefined) return undefined;
  const sealed = orLost(lost, (): SealedKey => sealedKeySchema.parse(JSON.parse(text)));
  const secret = await seal.open(name, sealed);
  const parsed = orLost(lost, () => parse(secret));
  if (!seal.isCurrent(sealed)) await writeSealedFile(file, secret);
  return parsed;
}

/** Its folder is made where there is none. */
export async function writeSealedFile({ path, name, seal }: SealedFile, secret: string): Promise<void> {
  await makePrivateFolder(dirname(path));
  await writeFileAtomic(path, `${JSON.stringify(await seal.seal(name, secret))}\n`, { mode: 0o600 });
}

function orLost<T>(lost: SealedFile['lost'], read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw lost(error);
  }
}
