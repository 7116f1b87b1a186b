/**
 * The certificate of `$admin`, for people who watch the broker: kept as two files, made at first start and
 * again when it nears its end, its authority is no longer one of ours, or somebody removed the files
 * because they were stolen. Of all that were ever made only the last one counts.
 */
import { X509Certificate } from 'node:crypto';
import { join } from 'node:path';
import * as z from 'zod';
import { AppError, messageOf } from '#shared/kernel/errors.js';
import { writeFileAtomic } from '#shared/platform/atomic-file.js';
import { makePrivateFolder, readTextIfPresent } from '#shared/platform/private-file.js';
import { fingerprintOf, type KeyedCertificate } from '#cloud/trust/certificates.js';
import type { RevokedSerial } from '#cloud/trust/revocation-list.js';

export interface AdminCertificate {
  /** SHA-256 of the DER, hex. */
  readonly fingerprint: string;
  /** Those before it. */
  readonly revoked: readonly RevokedSerial[];
}

export interface AdminCertificateOptions {
  readonly folder: string;
  readonly issue: () => Promise<KeyedCertificate>;
  /** PEM. */
  readonly authorities: readonly string[];
  readonly nowMs: number;
}

const madeSchema = z.array(z.object({ serial: z.string().regex(/^[0-9a-f]+$/), replacedAtMs: z.number().optional() }));
/** Made anew when less than this is left. */
const renewBeforeMs = 30 * 86_400_000;

export async function ensureAdminCertificate(options: AdminCertificateOptions): Promise<AdminCertificate> {
  const { folder, nowMs } = options;
  await makePrivateFolder(folder);
  const certificateFile = join(folder, 'admin.crt');
  const madeFile = join(folder, 'admin-certificates.json');
  const made = readMade(await readTextIfPresent(madeFile), madeFile);
  const found = await readTextIfPresent(certificateFile);
  const key = await readTextIfPresent(join(folder, 'admin.key'));
  const last = made.at(-1);
  const current = found !== undefined && key !== undefined && holds(found, key, options) ? found : undefined;
  if (current !== undefined && last !== undefined && serialOf(current) === last.serial) {
    return describe(current, made);
  }
  const fresh = await options.issue();
  const now = made.map((one) => ({ replacedAtMs: nowMs, ...one }));
  now.push({ serial: serialOf(fresh.certificate) } as (typeof now)[number]);
  // The record first: a certificate that was cut off here is one that nobody has.
  await writeFileAtomic(madeFile, `${JSON.stringify(now)}\n`, { mode: 0o600 });
  await writeFileAtomic(join(folder, 'admin.key'), fresh.privateKey, { mode: 0o600 });
  await writeFileAtomic(certificateFile, fresh.certificate, { mode: 0o600 });
  return describe(fresh.certificate, now);
}

function describe(certificate: string, made: z.infer<typeof madeSchema>): AdminCertificate {
  return {
    fingerprint: fingerprintOf(certificate),
    revoked: made.slice(0, -1).map(({ serial, replacedAtMs = 0 }) => ({ serial, revokedAtMs: replacedAtMs })),
  };
}

function holds(pem: string, key: string, { authorities, nowMs }: AdminCertificateOptions): boolean {
  try {
    const certificate = new X509Certificate(pem);
    return (
      key.includes('PRIVATE KEY') &&
      Date.parse(certificate.validTo) - nowMs > renewBeforeMs &&
      authorities.map((text) => new X509Certificate(text)).some((issuer) => certificate.verify(issuer.publicKey))
    );
  } catch {
    return false;
  }
}

function readMade(text: string | undefined, path: string): z.infer<typeof madeSchema> {
  if (text === undefined) return [];
  try {
    return madeSchema.parse(JSON.parse(text));
  } catch (error) {
    throw new AppError('state.corrupt', `${path} is no list of the admin's certificates: restore or remove it`, {
      details: { reason: messageOf(error).slice(0, 200) },
    });
  }
}

function serialOf(pem: string): string {
  return new X509Certificate(pem).serialNumber.toLowerCase();
}
