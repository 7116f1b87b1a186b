/**
 * Who this installation is, whatever workspaces it has: the director's key, and the certificate
 * authority that devices pin with the server certificate it signed. Made at first start; the server
 * certificate is made anew when it nears its end or the names change, which devices do not notice.
 */
import { join } from 'node:path';
import * as z from 'zod';
import { AppError } from '#shared/kernel/errors.js';
import type { SigningKey } from '#shared/package/signing-key.js';
import { writeFileAtomic } from '#shared/platform/atomic-file.js';
import { makePrivateFolder, readTextIfPresent } from '#shared/platform/private-file.js';
import { controlPlaneServerName } from '#shared/protocol/enrolment.js';
import { CertificateIssuer } from './certificate-issuer.js';
import {
  createAuthority,
  createServerCertificate,
  fingerprintOf,
  type KeyedCertificate,
  stillServes,
} from './certificates.js';
import { ensureDirectorKey } from './director-key.js';

export interface InstallationIdentity {
  readonly director: SigningKey;
  /** PEM of the authority's certificate. */
  readonly authority: string;
  /** PEM of every authority that devices may trust: the current one first, more than one while they change. */
  readonly authorities: readonly string[];
  /** SHA-256 of the current authority's DER, hex: what enrolment tokens pin. */
  readonly authorityFingerprint: string;
  readonly issuer: CertificateIssuer;
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
}

export async function ensureInstallationIdentity(options: IdentityOptions): Promise<InstallationIdentity> {
  const { folder, nowMs } = options;
  await makePrivateFolder(folder);
  const director = await ensureDirectorKey(join(folder, 'director.pem'));
  const authority = await ensureAuthority(join(folder, 'authority.json'), nowMs);
  const names = serverNames(options);
  const leaf = await ensureServer(join(folder, 'server.json'), authority, names, nowMs);
  // The authority goes along in the handshake: a device that enrols takes it from there and checks its pin.
  const server = { ...leaf, certificate: `${leaf.certificate.trimEnd()}\n${authority.certificate}` };

  const serverCertificateFile = join(folder, 'server.crt');
  const serverPrivateKeyFile = join(folder, 'server.key');
  await writeFileAtomic(join(folder, 'authority.crt'), authority.certificate);
  await writeFileAtomic(serverCertificateFile, server.certificate);
  await writeFileAtomic(serverPrivateKeyFile, server.privateKey, { mode: 0o600 });
  return {
    director,
    authority: authority.certificate,
    authorities: [authority.certificate],
    issuer: new CertificateIssuer(authority),
    authorityFingerprint: fingerprintOf(authority.certificate),
    server,
    serverCertificateFile,
    serverPrivateKeyFile,
  };
}

function serverNames({ names, hostname }: IdentityOptions): string[] {
  return [...new Set([controlPlaneServerName, 'localhost', '127.0.0.1', '::1', hostname, ...names])].filter(
    (name) => name !== '',
  );
}

async function ensureAuthority(path: string, nowMs: number): Promise<KeyedCertificate> {
  const found = await readKeyed(path);
  // Never replaced by itself: every device has pinned it.
  if (found === 'unreadable') {
    throw new AppError('state.corrupt', `${path} is not the certificate authority: restore it from a backup`);
  }
  return found ?? writeKeyed(path, await createAuthority(nowMs));
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
