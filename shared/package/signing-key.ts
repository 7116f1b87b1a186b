/**
 * Ed25519 keys of publishers and of the director. On the wire and in configuration a public key is
 * its raw 32 bytes in base64url (43 characters); a key's id is the SHA-256 of those bytes.
 */
import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { AppError } from '#shared/kernel/errors.js';
import { sha256Hex } from './digest.js';

export interface SigningKey {
  readonly keyId: string;
  /** Raw 32 bytes, base64url. */
  readonly publicKey: string;
  readonly privateKey: KeyObject;
}

const publicKeyPattern = /^[A-Za-z0-9_-]{43}$/;

/** Its public key begins with no "-": people pass it as an argument, where that is an option. */
export function generateSigningKey(): SigningKey {
  for (;;) {
    const key = fromPrivate(generateKeyPairSync('ed25519').privateKey);
    if (!key.publicKey.startsWith('-')) return key;
  }
}

/** PKCS #8. The result is a secret: store it with mode 0600 and never log it. */
export function exportPrivateKeyPem(key: SigningKey): string {
  return key.privateKey.export({ format: 'pem', type: 'pkcs8' }).toString();
}

/** @throws AppError `config.invalid`; the message quotes nothing of the input */
export function importPrivateKeyPem(pem: string): SigningKey {
  let key: KeyObject;
  try {
    key = createPrivateKey({ key: pem, format: 'pem' });
  } catch (error) {
    throw new AppError('config.invalid', 'the signing key is not a PEM private key without a passphrase', {
      cause: error,
    });
  }
  if (key.asymmetricKeyType !== 'ed25519') {
    throw new AppError(
      'config.invalid',
      `the signing key is ${key.asymmetricKeyType ?? 'of no known type'}, not Ed25519`,
    );
  }
  return fromPrivate(key);
}

export function keyIdOf(publicKey: string): string {
  return sha256Hex(Buffer.from(publicKey, 'base64url'));
}

/** undefined for a text that is no Ed25519 public key in its one spelling. */
export function publicKeyObject(publicKey: string): KeyObject | undefined {
  if (!publicKeyPattern.test(publicKey)) return undefined;
  // Unused bits of the last character would let one key have several names.
  if (Buffer.from(publicKey, 'base64url').toString('base64url') !== publicKey) return undefined;
  try {
    return createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x: publicKey }, format: 'jwk' });
  } catch {
    return undefined;
  }
}

function fromPrivate(privateKey: KeyObject): SigningKey {
  const { x } = createPublicKey(privateKey).export({ format: 'jwk' });
  if (x === undefined) throw new Error('an Ed25519 key without its public part');
  return { keyId: keyIdOf(x), publicKey: x, privateKey };
}
