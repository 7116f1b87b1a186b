/**
 * The authority that is to follow the present one. Until it has taken its place both count: the next one signs, and is
 * certified by the present one too, so that whoever knows either believes what it signed. The files are the state:
 * `authority-next.json` is there from the beginning to the end, and each step is one file appearing or one rename.
 */
import { rename } from 'node:fs/promises';
import { join } from 'node:path';
import { AppError } from '#shared/kernel/errors.js';
import { diskError, syncFolder } from '#shared/platform/atomic-file.js';
import { type Authority, readAuthorityFile, withRoot, writeAuthorityFile } from './authority.js';
import { createAuthority, crossCertify, pathLengthOf } from './certificates.js';
import type { KeySeal } from './sealed-key.js';

/** Paths in the folder of keys. */
export function authorityFiles(folder: string): { readonly present: string; readonly next: string } {
  return { present: join(folder, 'authority.json'), next: join(folder, 'authority-next.json') };
}

/** Makes the next authority where there is none yet. @throws AppError `trust.invalid` where the present one can certify none */
export async function beginSuccession(folder: string, seal: KeySeal, nowMs: number): Promise<void> {
  const files = authorityFiles(folder);
  if ((await readAuthorityFile(files.next, seal)) !== undefined) return;
  const present = await readAuthorityFile(files.present, seal);
  if (present === undefined) throw new AppError('state.corrupt', `there is no ${files.present}`);
  requireRoomBelow(present);
  const made = withRoot(await createAuthority(nowMs, true), '');
  const cross = await crossCertify(present, made.certificate, nowMs);
  await writeAuthorityFile(files.next, { ...made, cross }, seal);
}

/** The next authority takes the place of the present one, whose key is gone then. */
export async function finishSuccession(folder: string): Promise<void> {
  const { present, next } = authorityFiles(folder);
  try {
    await rename(next, present);
    await syncFolder(folder);
  } catch (error) {
    throw diskError(error, `cannot replace ${present}`);
  }
}

/** Below the present one stands the cross certificate, and below those above it the present one too. */
function requireRoomBelow({ certificate, chain }: Authority): void {
  const above = chain.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  const narrow = [certificate, ...above].some((pem, below) => pathLengthOf(pem) < below + 1);
  if (!narrow) return;
  throw new AppError(
    'trust.invalid',
    'this authority may certify no other (its path length, or that of one above it, leaves no room), so devices that know it alone could not be led to a next one. ' +
      'Begin with a fresh data folder, or with an authority of your own that has room (keys.authorityCertFile), and enrol the devices anew',
  );
}
