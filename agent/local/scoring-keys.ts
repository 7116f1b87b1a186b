/**
 * Keys by which programs of other machines may score on this device. Only digests are kept: a key is shown once,
 * when it is made. Whoever holds the state folder's lock changes them, so that there is one writer.
 */
import { randomBytes } from 'node:crypto';
import * as z from 'zod';
import { type Clock, toInstant } from '#shared/kernel/clock.js';
import { AppError } from '#shared/kernel/errors.js';
import { isName, nearest } from '#shared/kernel/names.js';
import { JsonDocument } from '#shared/platform/atomic-file.js';
import { instantSchema, nameSchema } from '#shared/protocol/primitives.js';
import { secretDigest } from '#shared/scoring/access/bearer.js';

const secretBytes = 32;
/** Each is compared with what a request brings. */
const maxKeys = 100;

const keySchema = z.object({
  name: nameSchema,
  /** SHA-256, hexadecimal. */
  digest: z.string().regex(/^[0-9a-f]{64}$/),
  createdAt: instantSchema,
});
const keysSchema = z.object({ schema: z.literal(1), keys: z.array(keySchema).max(maxKeys) });
type StoredKey = z.infer<typeof keySchema>;

export interface KeyView {
  readonly name: string;
  readonly createdAt: string;
}

/** With the key itself, which nobody can be shown again. */
export interface MadeKey extends KeyView {
  readonly key: string;
}

export class ScoringKeys {
  private changes: Promise<unknown> = Promise.resolve();

  private constructor(
    private readonly document: JsonDocument<z.infer<typeof keysSchema>>,
    private readonly clock: Clock,
    private keys: readonly StoredKey[],
    /** Whether there ever was one, be it revoked or lost since. */
    readonly wereMade: boolean,
  ) {}

  /** @param onDamage told when the file cannot be read: then no key is accepted */
  static async open(path: string, clock: Clock, onDamage: (path: string) => void): Promise<ScoringKeys> {
    const document = new JsonDocument(path, (value) => keysSchema.parse(value), { mode: 0o600 });
    try {
      const read = await document.read();
      return new ScoringKeys(document, clock, read?.value.keys ?? [], read !== undefined);
    } catch (error) {
      if (!(error instanceof AppError && error.code === 'state.corrupt')) throw error;
      onDamage(path);
      return new ScoringKeys(document, clock, [], true);
    }
  }

  get digests(): readonly string[] {
    return this.keys.map(({ digest }) => digest);
  }

  list(): readonly KeyView[] {
    return this.keys.map(({ name, createdAt }) => ({ name, createdAt }));
  }

  /** @throws AppError `request.invalid`, `key.exists`, `disk.*` */
  create(name: string): Promise<MadeKey> {
    return this.inTurn(() => this.add(name));
  }

  /** @throws AppError `key.not-found`, `disk.*` */
  revoke(name: string): Promise<void> {
    return this.inTurn(() => this.remove(name));
  }

  private async add(name: string): Promise<MadeKey> {
    if (!isName(name)) throw new AppError('request.invalid', `"${name}" is no name: use a-z, 0-9 and "-"`);
    if (this.keys.some((one) => one.name === name)) {
      throw new AppError(
        'key.exists',
        `there is a key ${name} already: revoke it first, or give this one another name`,
      );
    }
    if (this.keys.length >= maxKeys) {
      throw new AppError(
        'request.invalid',
        `there are ${String(maxKeys)} keys, the most there can be: revoke one first`,
      );
    }
    const key = `fsk_${randomBytes(secretBytes).toString('base64url')}`;
    const createdAt = toInstant(this.clock.now());
    const digest = secretDigest(key).toString('hex');
    await this.write([...this.keys, { name, digest, createdAt }]);
    return { name, createdAt, key };
  }

  private async remove(name: string): Promise<void> {
    const left = this.keys.filter((one) => one.name !== name);
    if (left.length === this.keys.length) {
      const names = this.keys.map((one) => one.name);
      const near = nearest(name, names) ?? (names.join(', ') || 'none');
      throw new AppError('key.not-found', `no key ${name} here; there is ${near}`);
    }
    await this.write(left);
    // Once more: a damaged file falls back on its predecessor, which must not know the key either.
    await this.write(left);
  }

  private inTurn<T>(change: () => Promise<T>): Promise<T> {
    const turn = this.changes.then(change);
    this.changes = turn.catch(() => undefined);
    return turn;
  }

  private async write(keys: readonly StoredKey[]): Promise<void> {
    await this.document.write({ schema: 1, keys: [...keys] });
    this.keys = keys;
  }
}
