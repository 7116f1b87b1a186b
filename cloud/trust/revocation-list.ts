/** The list of certificates that no longer count, for brokers that read files. */
import 'reflect-metadata';
import * as x509 from '@peculiar/x509';
import { backdatingMs, type KeyedCertificate, signingKeyOf } from './certificates.js';

export interface RevokedSerial {
  /** Hex. */
  readonly serial: string;
  readonly revokedAtMs: number;
}

/** An expired list makes a broker refuse every device; a broker reads it from this disk, so age tells nothing. */
const lifetimeMs = 3650 * 86_400_000;

/** @returns PEM with the label that OpenSSL and Node know */
export async function signRevocationList(
  authority: KeyedCertificate,
  revoked: readonly RevokedSerial[],
  nowMs: number,
): Promise<string> {
  const issuer = new x509.X509Certificate(authority.certificate);
  const list = await x509.X509CrlGenerator.create({
    issuer: issuer.subjectName,
    thisUpdate: new Date(nowMs - backdatingMs),
    nextUpdate: new Date(nowMs + lifetimeMs),
    entries: revoked.map(({ serial, revokedAtMs }) => ({
      serialNumber: serial,
      revocationDate: new Date(revokedAtMs),
    })),
    ...(await signingKeyOf(authority.privateKey)),
    extensions: [await x509.AuthorityKeyIdentifierExtension.create(issuer, false)],
  });
  return `${x509.PemConverter.encode(list.rawData, 'X509 CRL')}\n`;
}
