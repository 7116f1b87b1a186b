/**
 * The authority that signs for this installation: made here at first start, or the operator's own, which may be an
 * intermediate one. Its private key is sealed on disk. Never replaced by itself, since every device has pinned it:
 * an operator does it in two steps (authority-succession.ts).
 */
import * as z from 'zod';
import { AppError } from '#shared/kernel/errors.js';
import { writeFileAtomic } from '#shared/platform/atomic-file.js';
import { readTextIfPresent } from '#shared/platform/private-file.js';
import { createAuthority, fingerprintOf, type KeyedCertificate } from './certificates.js';
import { readAuthority } from './own-authority.js';
import { type KeySeal, sealedKeySchema } from './sealed-key.js';

export interface Authority extends KeyedCertificate {
  /** PEM of who signed {@link certificate}, up to the root; empty when it is the root itself. */
  readonly chain: string;
  /** PEM of the root: what devices pin and trust. */
  readonly root: string;
  /** PEM of its key certified by the authority before it, from the beginning of a rotation on. */
  readonly cross?: string | undefined;
}

const name = 'authority';
const fileSchema = z.object({
  certificate: z.string(),
  chain: z.string(),
  sealed: sealedKeySchema,
  cross: z.string().optional(),
});

export interface AuthorityOptions {
  readonly path: string;
  readonly seal: KeySeal;
  readonly nowMs: number;
  /** PEM of the operator's own: the certificate with its chain, and the private key. */
  readonly own?: { readonly certificates: string; readonly privateKey: string } | undefined;
}

/** @throws AppError `state.corrupt`, `config.invalid` */
export async function ensureAuthority({ path, seal, nowMs, own }: AuthorityOptions): Promise<Authority> {
  const given = own && readAuthority(own.certificates, own.privateKey, nowMs);
  const authority = await readAuthorityFile(path, seal);
  if (authority === undefined) {
    const made = given ?? withRoot(await createAuthority(nowMs), '');
    await writeAuthorityFile(path, made, seal);
    return made;
  }
  if (given !== undefined && fingerprintOf(given.certificate) !== fingerprintOf(authority.certificate)) {
    throw new AppError(
      'config.invalid',
      `keys.authorityCertFile is another authority than the one of this data folder (${path}), which devices have pinned, or which took its place by a rotation: leave the setting out, or begin with a fresh data folder`,
    );
  }
  return authority;
}

/** Sealed anew where the key that seals has changed. @throws AppError `state.corrupt` */
export async function readAuthorityFile(path: string, seal: KeySeal): Promise<Authority | undefined> {
  const text = await readTextIfPresent(path);
  if (text === undefined) return undefined;
  let file: z.infer<typeof fileSchema>;
  try {
    file = fileSchema.parse(JSON.parse(text));
    fingerprintOf(file.certificate);
  } catch (cause) {
    throw new AppError('state.corrupt', `${path} is not the certificate authority: restore it from a backup`, {
      cause,
    });
  }
  const { certificate, chain, sealed, cross } = file;
  const privateKey = await seal.open(name, sealed);
  const authority = { ...withRoot({ certificate, privateKey }, chain), cross };
  if (!seal.isCurrent(sealed)) await writeAuthorityFile(path, authority, seal);
  return authority;
}

/** One file for all of it, so that no kill can part a certificate from its key. */
export async function writeAuthorityFile(path: string, authority: Authority, seal: KeySeal): Promise<void> {
  const { certificate, privateKey, chain, cross } = authority;
  const sealed = await seal.seal(name, privateKey);
  await writeFileAtomic(path, `${JSON.stringify({ certificate, chain, sealed, cross })}\n`, { mode: 0o600 });
}

export function withRoot(keyed: KeyedCertificate, chain: string): Authority {
  const root = chain.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----\n?/g)?.at(-1);
  return { ...keyed, chain, root: root ?? keyed.certificate };
}
