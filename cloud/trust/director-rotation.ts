/** The rotation of the director key, as an operator's steps; where it stands is in the key files alone. */
import { AppError } from '#shared/kernel/errors.js';
import { readTrustPayload } from '#shared/package/trust-acceptance.js';
import { reportedStateSchema } from '#shared/protocol/reported.js';
import type { Database } from '#cloud/fleet/device-repository.js';
import { type DirectorKeys, noRotation } from './director-keys.js';
import type { TrustChain } from './trust-chain.js';

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
    const { keys, resign } = this.options;
    const { next } = keys;
    if (next === undefined) throw noRotation();
    const lost = await this.devicesWithout(next.publicKey);
    if (lost.length > 0 && !force) {
      const named = lost.slice(0, 10).join(', ');
      const more = lost.length > 10 ? ` and ${String(lost.length - 10)} more` : '';
      throw new AppError(
        'trust.not-yet',
        `${String(lost.length)} devices do not know the next director yet: ${named}${more}. A trust document that names it comes first ` +
          '(flotilla trust propose --publish); those that are offline take it when they come back, and then obey again. ' +
          'flotilla trust status shows them; --force goes on without them',
        { details: { devices: lost } },
      );
    }
    await keys.finish();
    await resign();
    return this.state();
  }

  /** `workspace/device`, by the trust version that each reported. */
  private async devicesWithout(director: string): Promise<string[]> {
    const { db, chain } = this.options;
    const rows = await db
      .selectFrom('devices')
      .select(['workspace', 'name', 'reportedJson'])
      .where('retiredAt', 'is', null)
      .orderBy('workspace')
      .orderBy('name')
      .execute();
    const knows = new Map<string, boolean>();
    const lost: string[] = [];
    for (const { workspace, name, reportedJson } of rows) {
      const version = reportedStateSchema.parse(JSON.parse(reportedJson)).trust?.version ?? 0;
      const key = `${workspace}/${String(version)}`;
      if (!knows.has(key)) {
        const envelope = version === 0 ? undefined : await chain.find(workspace, version);
        const document = envelope && readTrustPayload(envelope);
        knows.set(key, document?.ok === true && document.value.directors.includes(director));
      }
      if (knows.get(key) !== true) lost.push(`${workspace}/${name}`);
    }
    return lost;
  }
}
