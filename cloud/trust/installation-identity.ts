/**
 * Who this installation is, whatever workspaces it has: the director's key, and the certificate
 * authority that devices pin with the server certificate it signed. Made at first start; the server
 * certificate is made anew when it nears its end or the names change, which devices do not notice. The director's and the
 * authority's private keys are sealed on disk; the server's is not, as brokers read it from there.
 */
import { join } from 'node:path';
import * as z from 'zod';
import type { SigningKey } from '#shared/package/signing-key.js';
import { writeFileAtomic } from '#shared/platform/atomic-file.js';
import { makePrivateFolder, readTextIfPresent } from '#shared/platform/private-file.js';
import { controlPlaneServerName } from '#shared/protocol/enrolment.js';
import { type Authority, type AuthorityOptions, ensureAuthority, readAuthorityFile } from './authority.js';
import { authorityFiles } from './authority-succession.js';
import { CertificateIssuer } from './certificate-issuer.js';
import { createServerCertificate, fingerprintOf, type KeyedCertificate, stillServes } from './certificates.js';
import { ensureDirectorKey } from './director-key.js';
import { KeySeal, type SealOptions } from './sealed-key.js';

export interface InstallationIdentity {
  readonly director: SigningKey;
  /** What private keys are sealed with on disk. */
  readonly seal: KeySeal;
  /** PEM of the root that devices pin: the authority itself, or above the operator's own; while it is rotated the old one. */
  readonly authority: string;
  /** PEM of every root that devices may trust, and may come with certificates of: the one that signs first, two while it is rotated. */
  readonly authorities: readonly string[];
  /** SHA-256 of the DER of {@link authority}, hex: what enrolment tokens pin. */
  readonly authorityFingerprint: string;
  readonly issuer: CertificateIssuer;
  /** With that of the authority that is being replaced: each has a revocation list. */
  readonly issuers: readonly CertificateIssuer[];
  readonly server: KeyedCertificate;
  /** The same as files, for an external broker. */
  readonly serverCertificateFile: string;
  readonly serverPrivateKeyFile: string;
}

export interface IdentityOptions {
  readonly folder: string;
  /** Further names and addresses under which people reach this server. */
  readonly names: readonly string[];
  readonly hostname: string;
  readonly nowMs: number;
  /** What seals the keys; without it a key file in the folder. */
  readonly atRest?: SealOptions | undefined;
  /** The operator's own authority, PEM. */
  readonly ownAuthority?: AuthorityOptions['own'];
}

export async function ensureInstallationIdentity(options: IdentityOptions): Promise<InstallationIdentity> {
  const { folder, nowMs, ownAuthority: own } = options;
  await makePrivateFolder(folder);
  const seal = await KeySeal.open(options.atRest ?? { keyFile: join(folder, 'at-rest.key') });
  const director = await ensureDirectorKey(join(folder, 'director.json'), seal);
  const files = authorityFiles(folder);
  const authority = await ensureAuthority({ path: files.present, seal, nowMs, own });
  const next = await readAuthorityFile(files.next, seal);
  const leaf = await ensureServer(join(folder, 'server.json'), next ?? authority, serverNames(options), nowMs);
  const above = authority.certificate + authority.chain;
  // The authority goes along in the handshake: a device that enrols takes it from there and checks its pin.
  const presented = `${leaf.certificate.trimEnd()}\n${next?.cross ?? ''}${above}`;
  const server = { ...leaf, certificate: presented };

  const serverCertificateFile = join(folder, 'server.crt');
  const serverPrivateKeyFile = join(folder, 'server.key');
  await writeFileAtomic(join(folder, 'authority.crt'), (next?.certificate ?? '') + above);
  await writeFileAtomic(serverCertificateFile, server.certificate);
  await writeFileAtomic(serverPrivateKeyFile, server.privateKey, { mode: 0o600 });
  return {
    director,
    seal,
    authority: authority.root,
    authorities: [...(next === undefined ? [] : [next.root]), authority.root],
    ...issuersOf(authority, next),
    authorityFingerprint: fingerprintOf(authority.root),
    server,
    serverCertificateFile,
    serverPrivateKeyFile,
  };
}

function issuersOf(
  authority: Authority,
  next: Authority | undefined,
): Pick<InstallationIdentity, 'issuer' | 'issuers'> {
  const { certificate, chain } = authority;
  const between = chain === '' ? '' : certificate + chain;
  const present = new CertificateIssuer(authority, between);
  if (next === undefined) return { issuer: present, issuers: [present] };
  // Brokers that know the old one alone, and devices that check what they get, climb by the cross certificate.
  const issuer = new CertificateIssuer(next, (next.cross ?? '') + between, [certificate]);
  return { issuer, issuers: [issuer, present] };
}

function serverNames({ names, hostname }: IdentityOptions): string[] {
  return [...new Set([controlPlaneServerName, 'localhost', '127.0.0.1', '::1', hostname, ...names])].filter(
    (name) => name !== '',
  );
}

async function ensureServer(
  path: string,
  authority: KeyedCertificate,
  names: readonly string[],
  nowMs: number,
): Promise<KeyedCertificate> {
  const found = await readKeyed(path);
  if (found !== undefined && found !== 'unreadable' && stillServes(found, authority, names, nowMs)) return found;
  return writeKeyed(path, await createServerCertificate(authority, names, nowMs));
}

const keyedSchema = z.object({
  certificate: z.string().startsWith('-----BEGIN CERTIFICATE-----'),
  privateKey: z.string().startsWith('-----BEGIN PRIVATE KEY-----'),
});

/** One file for both halves, so that no kill can part a certificate from its key. */
async function readKeyed(path: string): Promise<KeyedCertificate | 'unreadable' | undefined> {
  const text = await readTextIfPresent(path);
  if (text === undefined) return undefined;
  try {
    const keyed = keyedSchema.parse(JSON.parse(text));
    fingerprintOf(keyed.certificate);
    return keyed;
  } catch {
    return 'unreadable';
  }
}

async function writeKeyed(path: string, keyed: KeyedCertificate): Promise<KeyedCertificate> {
  await writeFileAtomic(path, `${JSON.stringify(keyed)}\n`, { mode: 0o600 });
  return keyed;
}
