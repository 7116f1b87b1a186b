/** API tokens made, listed and revoked. Judged by `token-grant`; a secret is given once and kept by nobody here. */
import { AppError } from '#shared/kernel/errors.js';
import { toInstant, type Clock } from '#shared/kernel/clock.js';
import type { Page, PageRequest } from '#cloud/store/page.js';
import type { TokenTable } from '#cloud/store/tables.js';
import type { TokenRepository } from '#cloud/store/token-repository.js';
import { newApiToken } from './api-token.js';
import type { Principal } from './principal.js';
import type { Revocations } from './revocations.js';
import { grantedUntil, type TokenWish } from './token-grant.js';

export type ListedToken = Omit<TokenTable, 'secretHash'>;

export class ApiTokens {
  constructor(
    private readonly tokens: TokenRepository,
    private readonly revocations: Revocations,
    private readonly clock: Clock,
  ) {}

  /** @throws AppError `auth.forbidden`, `token.exists` where a working one of this name is in the same scope */
  async create(
    maker: Principal,
    wish: TokenWish & { readonly name: string },
  ): Promise<{ readonly text: string; readonly token: ListedToken }> {
    const now = this.clock.now();
    const until = grantedUntil(maker, wish, now);
    const same = await this.tokens.findWorking(wish.workspace, wish.name, toInstant(now));
    if (same !== undefined) {
      throw new AppError(
        'token.exists',
        `there is a token "${wish.name}" already (${same}): revoke it, or take another name`,
      );
    }
    const { id, secretHash, text } = newApiToken();
    const token: ListedToken = {
      ...{ id, workspace: wish.workspace, role: wish.role, name: wish.name, createdAt: toInstant(now) },
      ...{ createdBy: maker.id, expiresAt: until === undefined ? null : toInstant(until) },
      ...{ lastUsedAt: null, revokedAt: null },
    };
    await this.tokens.insert({ ...token, secretHash });
    return { text, token };
  }

  /** Of one workspace; or all, the installation's own included. */
  async list(workspace: string | null, request: PageRequest): Promise<Page<ListedToken>> {
    const page = await this.tokens.list(workspace, request);
    return { ...page, items: page.items.map(({ secretHash: _, ...token }) => token) };
  }

  /**
   * Nothing is answered to it any more, and what is open under it ends. Revoked again, it stays as it is.
   *
   * @param workspace null: whatever its scope
   * @throws AppError `token.not-found`
   */
  async revoke(workspace: string | null, id: string): Promise<ListedToken> {
    const row = await this.tokens.find(id);
    if (row === undefined || (workspace !== null && row.workspace !== workspace)) {
      throw new AppError('token.not-found', `there is no token ${id} here; flotilla token list shows those there are`);
    }
    const revokedAt = row.revokedAt ?? toInstant(this.clock.now());
    await this.tokens.revoke(id, revokedAt);
    this.revocations.revoke(id);
    const { secretHash: _, ...token } = row;
    return { ...token, revokedAt };
  }
}
