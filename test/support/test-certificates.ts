/** Certificates of every kind that a server or device may be shown in an attack, and the rightful ones. */
import 'reflect-metadata';
import { randomBytes, webcrypto, X509Certificate } from 'node:crypto';
import * as x509 from '@peculiar/x509';

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
const day = 86_400_000;

export interface TestCertificate {
  /** PEM. */
  readonly certificate: string;
  readonly privateKey: string;
  readonly der: Buffer;
  readonly fingerprint: string;
  readonly keys: webcrypto.CryptoKeyPair;
}

export interface CertificateOptions {
  readonly commonName: string;
  /** Absent: signed by itself. */
  readonly issuer?: TestCertificate;
  readonly authority?: boolean;
  readonly names?: readonly string[];
  readonly usage?: 'server' | 'client' | 'none';
  /** Milliseconds since the Unix epoch. */
  readonly from?: number;
  readonly to?: number;
  /** Another certificate for the same key. */
  readonly keys?: webcrypto.CryptoKeyPair;
}

export async function testCertificate(options: CertificateOptions): Promise<TestCertificate> {
  const { commonName, issuer, authority = false, names = [], usage = 'none' } = options;
  const { from = Date.now() - day, to = Date.now() + 90 * day } = options;
  const keys = options.keys ?? (await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']));
  const parent = issuer === undefined ? undefined : new x509.X509Certificate(issuer.certificate);
  const { serverAuth, clientAuth } = x509.ExtendedKeyUsage;
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: `40${randomBytes(15).toString('hex')}`,
    subject: [{ CN: [commonName] }],
    issuer: parent?.subject ?? [{ CN: [commonName] }],
    notBefore: new Date(from),
    notAfter: new Date(to),
    signingAlgorithm: algorithm,
    publicKey: keys.publicKey,
    signingKey: issuer?.keys.privateKey ?? keys.privateKey,
    extensions: [
      new x509.BasicConstraintsExtension(authority, undefined, true),
      ...(authority
        ? [new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true)]
        : []),
      ...(usage === 'none' ? [] : [new x509.ExtendedKeyUsageExtension([usage === 'server' ? serverAuth : clientAuth])]),
      ...(names.length === 0
        ? []
        : [new x509.SubjectAlternativeNameExtension(names.map((value) => ({ type: 'dns', value })))]),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey, false),
      ...(parent === undefined ? [] : [await x509.AuthorityKeyIdentifierExtension.create(parent, false)]),
    ],
  });
  const pem = `${certificate.toString('pem')}\n`;
  const privateKey = x509.PemConverter.encode(
    await webcrypto.subtle.exportKey('pkcs8', keys.privateKey),
    'PRIVATE KEY',
  );
  return {
    certificate: pem,
    privateKey: `${privateKey}\n`,
    der: Buffer.from(certificate.rawData),
    fingerprint: new X509Certificate(pem).fingerprint256.replaceAll(':', '').toLowerCase(),
    keys,
  };
}

export function testAuthority(
  commonName = 'Authority',
  options: Partial<CertificateOptions> = {},
): Promise<TestCertificate> {
  return testCertificate({ commonName, authority: true, to: Date.now() + 3650 * day, ...options });
}

/** A certificate with its key, both PEM, as one that can sign. */
export async function asIssuer({
  certificate,
  privateKey,
}: {
  readonly certificate: string;
  readonly privateKey: string;
}): Promise<TestCertificate> {
  const parsed = new x509.X509Certificate(certificate);
  const [der] = x509.PemConverter.decode(privateKey);
  if (der === undefined) throw new Error('no key');
  return {
    certificate,
    privateKey,
    der: Buffer.from(parsed.rawData),
    fingerprint: new X509Certificate(certificate).fingerprint256.replaceAll(':', '').toLowerCase(),
    keys: {
      publicKey: (await parsed.publicKey.export(algorithm, ['verify'])) as webcrypto.CryptoKey,
      privateKey: await webcrypto.subtle.importKey('pkcs8', der, algorithm, true, ['sign']),
    },
  };
}
