/** A publisher as a person names one: by a name that this machine knows, or by the public key itself. */
import { AppError } from '#shared/kernel/errors.js';
import { signerKeySchema } from '#shared/protocol/trust.js';
import type { KeyFolder } from './key-folder.js';

/** @param option for the complaint, for example `--publisher` */
export async function resolvePublisher(folder: KeyFolder, text: string, option: string): Promise<string> {
  if (signerKeySchema.safeParse(text).success) return text;
  const known = /^[a-z0-9-]{1,63}$/.test(text)
    ? ((await folder.findKnown(text)) ?? (await folder.find(text)))
    : undefined;
  if (known !== undefined) return known.publicKey;
  throw new AppError(
    'request.invalid',
    `${option} takes a publisher that "flotilla keys list" shows, or a public key of 43 characters as "flotilla keys show" prints it on the other machine; "${text.slice(0, 80)}" is neither`,
  );
}
