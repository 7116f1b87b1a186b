/**
 * A private key under a passphrase: scrypt makes the key of AES-256-GCM. The public half stands beside
 * it in the clear, so that it can be shown and pinned without the passphrase, and is authenticated.
 */
import { createCipheriv, createDecipheriv, randomBytes, scryptSync } from 'node:crypto';
import * as z from 'zod';
import { AppError } from '#shared/kernel/errors.js';
import { exportPrivateKeyPem, importPrivateKeyPem, type SigningKey } from '#shared/package/signing-key.js';
import { decodeMessage } from '#shared/protocol/decode.js';
import { signerKeySchema } from '#shared/protocol/trust.js';

export interface ScryptCost {
  /** Memory is 128 · N · r bytes. */
  readonly N: number;
  readonly r: number;
  readonly p: number;
}

/** 128 MiB and about half a second: what a guesser pays for each guess. */
export const defaultCost: ScryptCost = { N: 2 ** 17, r: 8, p: 1 };
const maxMemoryBytes = 512 * 1024 * 1024;
export const minPassphraseLength = 8;
const maxFileBytes = 16 * 1024;

const base64 = z.base64().max(4096);

const encryptedKeySchema = z.strictObject({
  flotillaKey: z.literal(1),
  publicKey: signerKeySchema,
  // Bounds, so that a file from elsewhere cannot ask for all the memory there is.
  scrypt: z.strictObject({
    N: z
      .int()
      .min(2)
      .max(2 ** 20),
    r: z.int().min(1).max(16),
    p: z.int().min(1).max(8),
    salt: base64,
  }),
  aes256gcm: z.strictObject({ iv: base64, tag: base64, ciphertext: base64 }),
});
export type EncryptedKey = z.infer<typeof encryptedKeySchema>;

export function encryptKey(key: SigningKey, passphrase: string, cost: ScryptCost = defaultCost): string {
  const salt = randomBytes(16);
  const iv = randomBytes(12);
  const cipher = createCipheriv('aes-256-gcm', derive(passphrase, salt, cost), iv, { authTagLength: 16 });
  cipher.setAAD(Buffer.from(key.publicKey));
  const ciphertext = Buffer.concat([cipher.update(exportPrivateKeyPem(key), 'utf8'), cipher.final()]);
  const file: EncryptedKey = {
    flotillaKey: 1,
    publicKey: key.publicKey,
    scrypt: { ...cost, salt: salt.toString('base64') },
    aes256gcm: {
      iv: iv.toString('base64'),
      tag: cipher.getAuthTag().toString('base64'),
      ciphertext: ciphertext.toString('base64'),
    },
  };
  return `${JSON.stringify(file, null, 2)}\n`;
}

/** The form alone; the passphrase is not needed. @throws AppError `key.invalid` */
export function readEncryptedKey(bytes: Uint8Array, path: string): EncryptedKey {
  const file = decodeMessage(encryptedKeySchema, bytes, maxFileBytes);
  if (file.ok) return file.value;
  throw new AppError(
    'key.invalid',
    `${path} is no encrypted key (${file.error.message}): it may be cut short; restore it from a copy`,
  );
}

/** @throws AppError `key.locked` for a wrong passphrase, `key.invalid` for a file that another wrote */
export function decryptKey(file: EncryptedKey, passphrase: string, path: string): SigningKey {
  const { scrypt, aes256gcm } = file;
  const iv = Buffer.from(aes256gcm.iv, 'base64');
  const tag = Buffer.from(aes256gcm.tag, 'base64');
  if (iv.length !== 12 || tag.length !== 16 || 128 * scrypt.N * scrypt.r > maxMemoryBytes || !isPowerOfTwo(scrypt.N)) {
    throw new AppError('key.invalid', `${path} is no encrypted key that Flotilla wrote: restore it from a copy`);
  }
  const secret = derive(passphrase, Buffer.from(scrypt.salt, 'base64'), scrypt);
  const decipher = createDecipheriv('aes-256-gcm', secret, iv, { authTagLength: 16 });
  decipher.setAAD(Buffer.from(file.publicKey));
  decipher.setAuthTag(tag);
  let pem: string;
  try {
    pem = decipher.update(aes256gcm.ciphertext, 'base64', 'utf8') + decipher.final('utf8');
  } catch (error) {
    throw new AppError('key.locked', `this is not the passphrase of ${path}, or the file was changed`, {
      cause: error,
    });
  }
  const key = importPrivateKeyPem(pem);
  if (key.publicKey !== file.publicKey) {
    throw new AppError('key.invalid', `${path} names another public key than the one it holds`);
  }
  return key;
}

function derive(passphrase: string, salt: Uint8Array, { N, r, p }: ScryptCost): Buffer {
  return scryptSync(passphrase.normalize('NFC'), salt, 32, { N, r, p, maxmem: maxMemoryBytes * 2 });
}

function isPowerOfTwo(number: number): boolean {
  return Number.isInteger(Math.log2(number));
}
