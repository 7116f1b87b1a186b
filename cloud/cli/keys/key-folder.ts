/**
 * The publisher keys of one user, `keys/` in their home:
 *
 *     publisher.key    a private key under a passphrase
 *     publisher.pem    a private key in the clear, 0600
 *     ci.held          where a private key lies that something else looks after
 *     alice.pub        another publisher's public key
 *     current          which key signs, where it is not `publisher`
 */
import { link, readdir, readFile, rm, stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import * as z from 'zod';
import { AppError } from '#shared/kernel/errors.js';
import { isName } from '#shared/kernel/names.js';
import { exportPrivateKeyPem, importPrivateKeyPem, keyIdOf, type SigningKey } from '#shared/package/signing-key.js';
import { diskError, errno, writeFileAtomic } from '#shared/platform/atomic-file.js';
import { makePrivateFolder } from '#shared/platform/private-file.js';
import { decodeMessage } from '#shared/protocol/decode.js';
import { nameSchema } from '#shared/protocol/primitives.js';
import { signerKeySchema } from '#shared/protocol/trust.js';
import { decryptKey, encryptKey, readEncryptedKey } from './encrypted-key.js';

export const firstKeyName = 'publisher';

export interface StoredKey {
  readonly name: string;
  /** `held`: in a file elsewhere that something else looks after. */
  readonly kind: 'encrypted' | 'plain' | 'held';
  /** Of the private key. */
  readonly path: string;
  readonly publicKey: string;
  readonly keyId: string;
}

export interface KnownPublisher {
  readonly name: string;
  readonly publicKey: string;
  readonly keyId: string;
}

const currentSchema = z.object({ current: nameSchema, previous: nameSchema.optional() });
/** Which keys sign: while one takes another's place, both. */
export type SigningNames = z.infer<typeof currentSchema>;

const heldSchema = z.object({ path: z.string().min(1).max(4096), publicKey: signerKeySchema });

export class KeyFolder {
  readonly root: string;

  constructor(home: string) {
    this.root = join(home, 'keys');
  }

  pathOf(name: string, ending: 'key' | 'pem' | 'held' | 'pub'): string {
    return join(this.root, `${name}.${ending}`);
  }

  async list(): Promise<StoredKey[]> {
    const names = (await this.files())
      .map((file) => /^(.+)\.(?:key|pem|held)$/.exec(file)?.[1])
      .filter((name) => name !== undefined && isName(name));
    const found: StoredKey[] = [];
    for (const name of [...new Set(names)].sort()) {
      const key = name === undefined ? undefined : await this.find(name);
      if (key !== undefined) found.push(key);
    }
    return found;
  }

  /** @throws AppError `config.invalid` when others can read it, `key.invalid` when it is no key */
  async find(name: string): Promise<StoredKey | undefined> {
    const encrypted = this.pathOf(name, 'key');
    const bytes = await readPrivate(encrypted);
    if (bytes !== undefined) return stored(name, 'encrypted', encrypted, readEncryptedKey(bytes, encrypted).publicKey);
    const plain = this.pathOf(name, 'pem');
    const pem = await readPrivate(plain);
    if (pem !== undefined) return stored(name, 'plain', plain, importPem(pem, plain).publicKey);
    const pointer = this.pathOf(name, 'held');
    const held = await readPrivate(pointer);
    if (held === undefined) return undefined;
    const where = decodeMessage(heldSchema, held);
    if (!where.ok) throw new AppError('key.invalid', `${pointer} names no key file: ${where.error.message}`);
    return stored(name, 'held', where.value.path, where.value.publicKey);
  }

  async require(name: string): Promise<StoredKey> {
    const key = await this.find(name);
    if (key !== undefined) return key;
    throw new AppError(
      'key.not-found',
      `there is no key ${name} in ${this.root}: flotilla keys list shows what there is, flotilla keys init makes one`,
    );
  }

  /** @param passphrase asked for only when the key has one */
  async unlock(key: StoredKey, passphrase: () => Promise<string>): Promise<SigningKey> {
    const bytes = await readPrivate(key.path);
    if (bytes === undefined) {
      throw new AppError('key.not-found', `the key ${key.name} lies in ${key.path}, and that file is not there`);
    }
    const unlocked =
      key.kind === 'encrypted'
        ? decryptKey(readEncryptedKey(bytes, key.path), await passphrase(), key.path)
        : importPem(bytes, key.path);
    if (unlocked.publicKey === key.publicKey) return unlocked;
    throw new AppError('key.invalid', `${key.path} no longer holds the key ${key.name}, but another`);
  }

  /** Of two that make one at once, the first wins. @returns false when there is one of that name */
  async writeNew(name: string, key: SigningKey, passphrase: string | undefined): Promise<boolean> {
    if ((await this.find(name)) !== undefined) return false;
    await makePrivateFolder(this.root);
    const path = this.pathOf(name, passphrase === undefined ? 'pem' : 'key');
    const content = passphrase === undefined ? exportPrivateKeyPem(key) : encryptKey(key, passphrase);
    const temporary = `${path}.${key.keyId.slice(0, 16)}`;
    try {
      await writeFileAtomic(temporary, content, { mode: 0o600 });
      await link(temporary, path);
      return true;
    } catch (error) {
      if (errno(error) === 'EEXIST') return false;
      throw error instanceof AppError ? error : diskError(error, `cannot write ${path}`);
    } finally {
      await rm(temporary, { force: true });
    }
  }

  /** A key that something else looks after. */
  async hold(name: string, path: string, publicKey: string): Promise<void> {
    await makePrivateFolder(this.root);
    const pointer = JSON.stringify({ path: resolve(path), publicKey });
    await writeFileAtomic(this.pathOf(name, 'held'), `${pointer}\n`, { mode: 0o600 });
  }

  /**
   * The plain file goes only when the encrypted one has been read back.
   *
   * @returns false when it has a passphrase already; a plain copy that an earlier attempt left goes all the same
   */
  async encrypt(key: StoredKey, passphrase: () => Promise<string>): Promise<boolean> {
    const plain = this.pathOf(key.name, 'pem');
    if (key.kind === 'plain') {
      const target = this.pathOf(key.name, 'key');
      const secret = await passphrase();
      const unlocked = await this.unlock(key, passphrase);
      await writeFileAtomic(target, encryptKey(unlocked, secret), { mode: 0o600 });
      decryptKey(readEncryptedKey(await readFile(target), target), secret, target);
    }
    await rm(plain, { force: true });
    return key.kind === 'plain';
  }

  /** The pointer alone of a key that something else looks after. */
  async remove(name: string): Promise<void> {
    for (const ending of ['key', 'pem', 'held'] as const) await rm(this.pathOf(name, ending), { force: true });
  }

  async signing(): Promise<SigningNames> {
    const path = join(this.root, 'current');
    const bytes = await readIfPresent(path);
    if (bytes === undefined) return { current: firstKeyName };
    const names = decodeMessage(currentSchema, bytes);
    if (names.ok) return names.value;
    throw new AppError('key.invalid', `${path} does not say which key signs: flotilla keys use <name> writes it anew`);
  }

  async setSigning(names: SigningNames): Promise<void> {
    await makePrivateFolder(this.root);
    await writeFileAtomic(join(this.root, 'current'), `${JSON.stringify(names)}\n`, { mode: 0o600 });
  }

  async known(): Promise<KnownPublisher[]> {
    const names = (await this.files())
      .map((file) => /^(.+)\.pub$/.exec(file)?.[1])
      .filter((name) => name !== undefined);
    const found = await Promise.all(names.sort().map((name) => this.findKnown(name)));
    return found.filter((one) => one !== undefined);
  }

  async findKnown(name: string): Promise<KnownPublisher | undefined> {
    const path = this.pathOf(name, 'pub');
    const bytes = await readIfPresent(path);
    if (bytes === undefined) return undefined;
    const publicKey = bytes.toString('utf8').trim();
    if (!signerKeySchema.safeParse(publicKey).success) {
      throw new AppError('key.invalid', `${path} is no public key: flotilla keys import-public writes it anew`);
    }
    return { name, publicKey, keyId: keyIdOf(publicKey) };
  }

  async writeKnown(name: string, publicKey: string): Promise<void> {
    await makePrivateFolder(this.root);
    await writeFileAtomic(this.pathOf(name, 'pub'), `${publicKey}\n`, { mode: 0o600 });
  }

  async removeKnown(name: string): Promise<void> {
    await rm(this.pathOf(name, 'pub'), { force: true });
  }

  private async files(): Promise<string[]> {
    try {
      return await readdir(this.root);
    } catch (error) {
      if (errno(error) === 'ENOENT') return [];
      throw diskError(error, `cannot read ${this.root}`);
    }
  }
}

function stored(name: string, kind: StoredKey['kind'], path: string, publicKey: string): StoredKey {
  return { name, kind, path, publicKey, keyId: keyIdOf(publicKey) };
}

/** A key that others can read is refused, not used. */
export async function readPrivate(path: string): Promise<Buffer | undefined> {
  const mode = await stat(path).then(
    (found) => found.mode,
    () => 0,
  );
  if (process.platform !== 'win32' && (mode & 0o077) !== 0) {
    throw new AppError('config.invalid', `${path} can be read by others than its owner; chmod 600 ${path}`);
  }
  return readIfPresent(path);
}

async function readIfPresent(path: string): Promise<Buffer | undefined> {
  try {
    return await readFile(path);
  } catch (error) {
    if (errno(error) === 'ENOENT') return undefined;
    throw diskError(error, `cannot read ${path}`);
  }
}

/** The error names the file, and quotes nothing of it. */
export function importPem(pem: Uint8Array, path: string): SigningKey {
  try {
    return importPrivateKeyPem(Buffer.from(pem).toString('utf8'));
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    throw new AppError('key.invalid', `${path}: ${error.message}`, { cause: error });
  }
}
