/** The rotation of the director key, as an operator's steps; where it stands is in the key files alone. */
import { AppError } from '#shared/kernel/errors.js';
import { clientIdOf } from '#shared/protocol/topics.js';
import type { Database } from '#cloud/fleet/device-repository.js';
import { type DirectorKeys, noRotation } from './director-keys.js';
import type { TrustChain } from './trust-chain.js';
import { devicesUnaware, namedInShort } from './trust-knowledge.js';

export interface DirectorRotationState {
  readonly current: string;
  readonly next?: string;
}

export interface DirectorRotationOptions {
  readonly db: Database;
  readonly keys: DirectorKeys;
  readonly chain: TrustChain;
  /** Signs what is stored with the keys of now, where it is not. */
  readonly resign: () => Promise<void>;
}

export class DirectorRotation {
  constructor(private readonly options: DirectorRotationOptions) {}

  state(): DirectorRotationState {
    const { current, next } = this.options.keys;
    return { current: current.publicKey, ...(next === undefined ? {} : { next: next.publicKey }) };
  }

  /** Again, it does the same: who lost the first answer may ask twice. */
  async begin(): Promise<DirectorRotationState> {
    await this.options.keys.begin();
    await this.options.resign();
    return this.state();
  }

  /** @throws AppError `trust.not-yet` that names the devices which do not know the next key, unless forced */
  async finish(force: boolean): Promise<DirectorRotationState> {
    const { db, chain, keys, resign } = this.options;
    const { next } = keys;
    if (next === undefined) throw noRotation();
    const unaware = await devicesUnaware(db, chain, ({ directors }) => directors.includes(next.publicKey));
    const lost = unaware.map(clientIdOf);
    if (lost.length > 0 && !force) {
      throw new AppError(
        'trust.not-yet',
        `${String(lost.length)} devices do not know the next director yet: ${namedInShort(lost)}. A trust document that names it comes first ` +
          '(flotilla trust propose --publish); those that are offline take it when they come back, and then obey again. ' +
          'flotilla trust status shows them; --force goes on without them',
        { details: { devices: lost } },
      );
    }
    await keys.finish();
    await resign();
    return this.state();
  }
}
