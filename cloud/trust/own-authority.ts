/** Reads an authority that the operator brings, and says what is wrong with it before anything depends on it. */
import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { AppError } from '#shared/kernel/errors.js';
import type { Authority } from './authority.js';

/**
 * @param certificatesPem the authority's certificate first, then who signed it, up to the self-signed root
 * @throws AppError `config.invalid`
 */
export function readAuthority(certificatesPem: string, privateKeyPem: string, nowMs: number): Authority {
  const chain = readCertificates(certificatesPem);
  const key = readKey(privateKeyPem);
  const [authority] = chain;
  if (authority === undefined) throw invalid('keys.authorityCertFile holds no certificate in PEM');
  if (!authority.checkPrivateKey(key)) {
    throw invalid('keys.authorityKeyFile is not the key of the first certificate in keys.authorityCertFile');
  }
  for (const [index, certificate] of chain.entries()) {
    const who = certificate.subject.replaceAll('\n', ', ');
    if (!certificate.ca) throw invalid(`${who} is no certificate authority (basicConstraints CA)`);
    if (Date.parse(certificate.validTo) <= nowMs) throw invalid(`${who} ended at ${certificate.validTo}`);
    const issuer = chain[index + 1] ?? certificate;
    if (!certificate.checkIssued(issuer) || !certificate.verify(issuer.publicKey)) {
      throw invalid(
        issuer === certificate
          ? `${who} is not self-signed: put the certificates of who signed it behind it, up to the root`
          : `${who} was not signed by the certificate behind it: order them from the authority up to the root`,
      );
    }
  }
  const pems = chain.map((certificate) => certificate.toString());
  return {
    certificate: pems[0] ?? '',
    privateKey: key.export({ format: 'pem', type: 'pkcs8' }).toString(),
    chain: pems.slice(1).join(''),
    root: pems.at(-1) ?? '',
  };
}

function readCertificates(pem: string): X509Certificate[] {
  const texts = pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  if (texts.length > 8) throw invalid('keys.authorityCertFile holds more certificates than a chain has');
  try {
    return texts.map((text) => new X509Certificate(text));
  } catch (cause) {
    throw invalid('keys.authorityCertFile holds a certificate that cannot be read', cause);
  }
}

function readKey(pem: string): KeyObject {
  let key: KeyObject;
  try {
    key = createPrivateKey(pem);
  } catch (cause) {
    throw invalid('keys.authorityKeyFile is no private key in PEM without a passphrase', cause);
  }
  const kind = key.asymmetricKeyDetails?.namedCurve ?? key.asymmetricKeyType;
  if (kind === 'prime256v1' || kind === 'secp384r1' || kind === 'rsa') return key;
  throw invalid(`keys.authorityKeyFile is ${kind ?? 'of no known kind'}: use P-256, P-384 or RSA`);
}

function invalid(message: string, cause?: unknown): AppError {
  return new AppError('config.invalid', message, { cause });
}
