/** Every version of the trust document, by workspace, as publishers signed it. Never changed, only added to. */
import type { Envelope } from '#shared/protocol/envelope.js';
import { envelopeSchema } from '#shared/protocol/envelope.js';
import type { Database } from '#cloud/fleet/device-repository.js';

export interface TrustVersion {
  readonly version: number;
  readonly envelope: Envelope;
}

export class TrustChain {
  constructor(private readonly db: Database) {}

  within(transaction: Database): TrustChain {
    return new TrustChain(transaction);
  }

  /** 0 where there is none: devices go by what their tokens pinned. */
  async newest(workspace: string): Promise<number> {
    const row = await this.db
      .selectFrom('trustVersions')
      .select((query) => query.fn.max<number | null>('version').as('version'))
      .where('workspace', '=', workspace)
      .executeTakeFirst();
    return row?.version ?? 0;
  }

  async find(workspace: string, version: number): Promise<Envelope | undefined> {
    const [found] = await this.after(workspace, version - 1, 1);
    return found?.version === version ? found.envelope : undefined;
  }

  /** The versions above, in rising order. */
  async after(workspace: string, version: number, limit: number): Promise<TrustVersion[]> {
    const rows = await this.db
      .selectFrom('trustVersions')
      .select(['version', 'envelope'])
      .where('workspace', '=', workspace)
      .where('version', '>', version)
      .orderBy('version')
      .limit(limit)
      .execute();
    return rows.map((row) => ({
      version: row.version,
      envelope: envelopeSchema.parse(JSON.parse(row.envelope)),
    }));
  }

  async add(workspace: string, { version, envelope }: TrustVersion, publishedAt: string): Promise<void> {
    await this.db
      .insertInto('trustVersions')
      .values({ workspace, version, envelope: JSON.stringify(envelope), publishedAt })
      .execute();
  }
}
