/**
 * Private keys at rest: AES-256-GCM under a key that stands in a file of its own, or comes from a passphrase by scrypt.
 * The name of what is sealed is bound to it, so that no sealed key can be put in another's place. A key file beside
 * what it seals keeps nobody out who has both; it lets backups leave it out, and a passphrase does without it.
 */
import { createCipheriv, createDecipheriv, createHash, randomBytes, scrypt, type ScryptOptions } from 'node:crypto';
import { dirname } from 'node:path';
import { promisify } from 'node:util';
import * as z from 'zod';
import { AppError } from '#shared/kernel/errors.js';
import { writeFileAtomic } from '#shared/platform/atomic-file.js';
import { makePrivateFolder, readTextIfPresent } from '#shared/platform/private-file.js';

const base64 = z.base64().max(65_536);
/** What bounds the cost of opening one: 128 * n * r bytes, 256 MiB at most. */
const scryptSchema = z.object({
  kind: z.literal('passphrase'),
  salt: base64,
  n: z
    .int()
    .min(1024)
    .max(2 ** 18),
  r: z.literal(8),
  p: z.literal(1),
});
export const sealedKeySchema = z.object({
  schema: z.literal(1),
  /** `id`: the first 16 hex digits of the key file's SHA-256. */
  key: z.discriminatedUnion('kind', [z.object({ kind: z.literal('file'), id: z.string() }), scryptSchema]),
  nonce: base64,
  tag: base64,
  text: base64,
});
export type SealedKey = z.infer<typeof sealedKeySchema>;

export interface SealOptions {
  /** 32 random bytes in base64; made where it is missing and no passphrase is set. */
  readonly keyFile: string;
  /** Its first line; empty: the key file seals. */
  readonly passphrase?: string | undefined;
}

const cost = { n: 2 ** 17, r: 8, p: 1 } as const;
const derive = promisify<string, Buffer, number, ScryptOptions, Buffer>(scrypt);

export class KeySeal {
  private readonly derived = new Map<string, Promise<Buffer>>();
  private readonly salt = randomBytes(16).toString('base64');

  private constructor(
    private readonly keyFile: string,
    private readonly fileKey: Buffer | undefined,
    private readonly passphrase: string | undefined,
  ) {}

  /** @throws AppError `state.corrupt` for a key file that is none */
  static async open({ keyFile, passphrase }: SealOptions): Promise<KeySeal> {
    const found = await readKeyFile(keyFile);
    if (found !== undefined || passphrase !== undefined) return new KeySeal(keyFile, found, passphrase);
    const made = randomBytes(32);
    await makePrivateFolder(dirname(keyFile));
    await writeFileAtomic(keyFile, `${made.toString('base64')}\n`, { mode: 0o600 });
    return new KeySeal(keyFile, made, undefined);
  }

  async seal(name: string, secret: string): Promise<SealedKey> {
    const how: SealedKey['key'] =
      this.passphrase === undefined
        ? { kind: 'file', id: idOf(this.needFileKey(name)) }
        : { kind: 'passphrase', salt: this.salt, ...cost };
    const nonce = randomBytes(12);
    const cipher = createCipheriv('aes-256-gcm', await this.keyFor(how, name), nonce).setAAD(Buffer.from(name));
    const text = Buffer.concat([cipher.update(secret, 'utf8'), cipher.final()]);
    return {
      schema: 1,
      key: how,
      nonce: nonce.toString('base64'),
      tag: cipher.getAuthTag().toString('base64'),
      text: text.toString('base64'),
    };
  }

  /** @throws AppError `config.invalid` for want of the right key, `state.corrupt` */
  async open(name: string, sealed: SealedKey): Promise<string> {
    const key = await this.keyFor(sealed.key, name);
    try {
      const decipher = createDecipheriv('aes-256-gcm', key, Buffer.from(sealed.nonce, 'base64'), { authTagLength: 16 })
        .setAAD(Buffer.from(name))
        .setAuthTag(Buffer.from(sealed.tag, 'base64'));
      return Buffer.concat([decipher.update(Buffer.from(sealed.text, 'base64')), decipher.final()]).toString('utf8');
    } catch (error) {
      const hint =
        sealed.key.kind === 'passphrase'
          ? 'the passphrase is another than the one it was sealed with, or it is damaged'
          : 'it is damaged: restore it from a backup';
      throw new AppError('state.corrupt', `the ${name} key cannot be opened: ${hint}`, { cause: error });
    }
  }

  /** Is it sealed the way that is configured now? Otherwise it is to be sealed anew. */
  isCurrent(sealed: SealedKey): boolean {
    return sealed.key.kind === (this.passphrase === undefined ? 'file' : 'passphrase');
  }

  private async keyFor(how: SealedKey['key'], name: string): Promise<Buffer> {
    if (how.kind === 'file') {
      const key = this.needFileKey(name);
      if (how.id === idOf(key)) return key;
      throw new AppError(
        'config.invalid',
        `the ${name} key is sealed with another key file than ${this.keyFile}: put that one back`,
      );
    }
    const { passphrase } = this;
    if (passphrase === undefined) {
      throw new AppError('config.invalid', `the ${name} key is sealed with a passphrase: set keys.passphraseFile`);
    }
    const { salt, n, r, p } = how;
    const id = `${salt} ${String(n)}`;
    const known = this.derived.get(id);
    if (known) return known;
    const key = derive(passphrase, Buffer.from(salt, 'base64'), 32, { N: n, r, p, maxmem: 256 * n * r });
    this.derived.set(id, key);
    return key;
  }

  private needFileKey(name: string): Buffer {
    if (this.fileKey !== undefined) return this.fileKey;
    throw new AppError(
      'config.invalid',
      `the ${name} key is sealed with the key file ${this.keyFile}, which is not there: put it back, or set keys.atRestFile`,
    );
  }
}

function idOf(key: Buffer): string {
  return createHash('sha256').update(key).digest('hex').slice(0, 16);
}

async function readKeyFile(path: string): Promise<Buffer | undefined> {
  const text = await readTextIfPresent(path);
  if (text === undefined) return undefined;
  const key = Buffer.from(text.trim(), 'base64');
  if (key.length === 32) return key;
  throw new AppError('state.corrupt', `${path} holds no key of 32 bytes in base64: restore it from a backup`);
}
