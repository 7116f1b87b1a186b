import type { ControlStore } from './control-database.js';

export interface StoredToken {
  readonly id: string;
  /** Null: every workspace. */
  readonly workspace: string | null;
  readonly role: 'owner';
  readonly secretHash: string;
}

export class TokenRepository {
  constructor(private readonly db: ControlStore) {}

  async list(): Promise<readonly StoredToken[]> {
    return this.db.selectFrom('tokens').select(['id', 'workspace', 'role', 'secretHash']).execute();
  }

  async insert(token: StoredToken & { readonly createdAt: string }): Promise<void> {
    await this.db.insertInto('tokens').values(token).execute();
  }
}
