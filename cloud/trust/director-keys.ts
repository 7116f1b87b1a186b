/**
 * The keys that say what a device should run: one, or while it is rotated the next one too. Both sign
 * then, so that it does not matter which of them a device knows. The files are the state: `director-next.json`
 * is there from the beginning of a rotation to its end, and each step is one file appearing or one rename.
 */
import { rename } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { AppError } from '#shared/kernel/errors.js';
import { joinSignatures, signEnvelope } from '#shared/package/dsse.js';
import type { SigningKey } from '#shared/package/signing-key.js';
import { diskError, syncFolder } from '#shared/platform/atomic-file.js';
import type { Envelope } from '#shared/protocol/envelope.js';
import { ensureDirectorKey, readDirectorKey } from './director-key.js';
import type { KeySeal } from './sealed-key.js';

/** Signs with every key that counts now. */
export interface Director {
  sign(payloadType: string, payload: Uint8Array): Envelope;
  /** Ids of the keys that {@link sign} uses. */
  keyIds(): readonly string[];
}

export class DirectorKeys implements Director {
  private constructor(
    private readonly folder: string,
    private readonly seal: KeySeal,
    private currentKey: SigningKey,
    private nextKey: SigningKey | undefined,
  ) {}

  static async open(folder: string, current: SigningKey, seal: KeySeal): Promise<DirectorKeys> {
    return new DirectorKeys(folder, seal, current, await readDirectorKey(nextPath(folder), seal));
  }

  get current(): SigningKey {
    return this.currentKey;
  }

  /** While a rotation is under way. */
  get next(): SigningKey | undefined {
    return this.nextKey;
  }

  publicKeys(): string[] {
    return this.signers().map(({ publicKey }) => publicKey);
  }

  keyIds(): readonly string[] {
    return this.signers().map(({ keyId }) => keyId);
  }

  sign(payloadType: string, payload: Uint8Array): Envelope {
    return this.signers()
      .map((key) => signEnvelope(payloadType, payload, key))
      .reduce((all, one) => joinSignatures(all, one));
  }

  /** Makes the next key, where there is none yet. */
  async begin(): Promise<SigningKey> {
    this.nextKey ??= await ensureDirectorKey(nextPath(this.folder), this.seal);
    return this.nextKey;
  }

  /** The next key takes the place of the current one, which is gone then. @throws AppError `trust.not-yet` */
  async finish(): Promise<void> {
    const { nextKey } = this;
    if (nextKey === undefined) throw noRotation();
    const current = join(this.folder, 'director.json');
    try {
      await rename(nextPath(this.folder), current);
      await syncFolder(dirname(current));
    } catch (error) {
      throw diskError(error, `cannot replace ${current}`);
    }
    this.currentKey = nextKey;
    this.nextKey = undefined;
  }

  private signers(): SigningKey[] {
    return this.nextKey === undefined ? [this.currentKey] : [this.currentKey, this.nextKey];
  }
}

function nextPath(folder: string): string {
  return join(folder, 'director-next.json');
}

export function noRotation(): AppError {
  return new AppError(
    'trust.not-yet',
    'no rotation of the director key is under way: flotilla trust rotate director --begin makes the next key',
  );
}
