/**
 * PKCS #10 from a device, bytes that anybody may send: what it proves is that its sender holds the key. Only
 * its subject and its key are used; whatever else it asks for is not granted.
 */
import 'reflect-metadata';
import { createHash, createPublicKey } from 'node:crypto';
import * as x509 from '@peculiar/x509';
import { AppError } from '#shared/kernel/errors.js';

export interface SigningRequest {
  readonly commonName: string;
  /** SubjectPublicKeyInfo, DER, in its one spelling. */
  readonly publicKey: Buffer;
  /** SHA-256 of {@link publicKey}, hex. */
  readonly keyFingerprint: string;
}

const maxBytes = 4096;

/** @throws AppError `enrolment.csr-invalid`, and nothing else whatever the text is */
export async function readSigningRequest(pem: string): Promise<SigningRequest> {
  if (pem.length > maxBytes) throw invalid('it is too large');
  let request: x509.Pkcs10CertificateRequest;
  let publicKey: Buffer;
  let proven: boolean;
  let names: string[];
  try {
    request = new x509.Pkcs10CertificateRequest(pem);
    publicKey = p256KeyOf(Buffer.from(request.publicKey.rawData));
    proven = await request.verify();
    names = request.subjectName
      .toJSON()
      .flatMap((part) => Object.entries(part).flatMap(([type, values]) => values.map((value) => `${type}=${value}`)));
  } catch (error) {
    throw error instanceof AppError ? error : invalid('it is no PKCS #10 that can be read', error);
  }
  if (!proven) throw invalid('its signature is not by its own key');
  const [name] = names;
  if (names.length !== 1 || name?.startsWith('CN=') !== true) throw invalid('its subject must be one common name');
  return { commonName: name.slice('CN='.length), publicKey, keyFingerprint: keyFingerprintOf(publicKey) };
}

export function keyFingerprintOf(publicKey: Buffer): string {
  return createHash('sha256').update(publicKey).digest('hex');
}

function p256KeyOf(der: Buffer): Buffer {
  const key = createPublicKey({ key: der, format: 'der', type: 'spki' });
  if (key.asymmetricKeyType !== 'ec' || key.asymmetricKeyDetails?.namedCurve !== 'prime256v1') {
    throw invalid(
      `its key is ${key.asymmetricKeyDetails?.namedCurve ?? key.asymmetricKeyType ?? 'of no known kind'}, not P-256`,
    );
  }
  return key.export({ format: 'der', type: 'spki' });
}

function invalid(why: string, cause?: unknown): AppError {
  return new AppError('enrolment.csr-invalid', `the certificate signing request is refused: ${why}`, { cause });
}
