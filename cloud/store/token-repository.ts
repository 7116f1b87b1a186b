import type { ControlStore } from './control-database.js';
import { inOrderOf, type Page, type PageKey, type PageRequest } from './page.js';
import type { TokenTable } from './tables.js';

/** Ended ones may have the name of one that works. */
const tokenKey: PageKey<'name' | 'createdAt' | 'id'> = [
  { column: 'name', type: 'string' },
  { column: 'createdAt', type: 'string' },
  { column: 'id', type: 'string' },
];

export class TokenRepository {
  constructor(private readonly db: ControlStore) {}

  async find(id: string): Promise<TokenTable | undefined> {
    return this.db.selectFrom('tokens').selectAll().where('id', '=', id).executeTakeFirst();
  }

  /** By name; of one workspace, or of all and the installation's own. */
  async list(workspace: string | null, page: PageRequest): Promise<Page<TokenTable>> {
    const all = this.db.selectFrom('tokens').selectAll();
    return inOrderOf(workspace === null ? all : all.where('workspace', '=', workspace), tokenKey, page);
  }

  /** The id of one that still works. */
  async findWorking(workspace: string | null, name: string, at: string): Promise<string | undefined> {
    const row = await this.db
      .selectFrom('tokens')
      .select('id')
      .where('workspace', 'is', workspace)
      .where('name', '=', name)
      .where('revokedAt', 'is', null)
      .where((where) => where.or([where('expiresAt', 'is', null), where('expiresAt', '>', at)]))
      .executeTakeFirst();
    return row?.id;
  }

  async insert(token: TokenTable): Promise<void> {
    await this.db.insertInto('tokens').values(token).execute();
  }

  /** Is there one for the whole installation that still opens it? */
  async hasOwner(at: string): Promise<boolean> {
    const row = await this.db
      .selectFrom('tokens')
      .select('id')
      .where('workspace', 'is', null)
      .where('role', '=', 'owner')
      .where('revokedAt', 'is', null)
      .where((where) => where.or([where('expiresAt', 'is', null), where('expiresAt', '>', at)]))
      .executeTakeFirst();
    return row !== undefined;
  }

  async revoke(id: string, at: string): Promise<void> {
    await this.db.updateTable('tokens').set({ revokedAt: at }).where('id', '=', id).execute();
  }

  async used(id: string, at: string): Promise<void> {
    await this.db.updateTable('tokens').set({ lastUsedAt: at }).where('id', '=', id).execute();
  }

  /** Ended before this, by revocation or by itself. */
  async removeEndedBefore(at: string): Promise<void> {
    await this.db
      .deleteFrom('tokens')
      .where((where) => where.or([where('revokedAt', '<', at), where('expiresAt', '<', at)]))
      .execute();
  }
}
