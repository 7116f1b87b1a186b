/** Who asks: a token of ours, found by its public half and proved by its secret one, or a login at the issuer. */
import { AppError } from '#shared/kernel/errors.js';
import { toInstant, type Clock } from '#shared/kernel/clock.js';
import type { TokenRepository } from '#cloud/store/token-repository.js';
import type { TokenTable } from '#cloud/store/tables.js';
import { newApiToken, parseApiToken, sameSecret } from './api-token.js';
import { readBearer } from './bearer.js';
import type { OidcVerifier } from './oidc/oidc-verifier.js';
import type { Principal } from './principal.js';

/** "Last used" is written at most this often: it is for people. */
const usedEveryMs = 60_000;

/** Three parts and two dots: a JWT. No API token has a dot. */
const signedToken = /^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*$/;

export class Authenticator {
  constructor(
    private readonly tokens: TokenRepository,
    private readonly clock: Clock,
    private readonly oidc?: Pick<OidcVerifier, 'verify'>,
  ) {}

  /** Makes an owner token of the installation where there is none that works; undefined when there is one. */
  async createFirstOwner(): Promise<string | undefined> {
    const createdAt = toInstant(this.clock.now());
    if (await this.tokens.hasOwner(createdAt)) return undefined;
    const { id, secretHash, text } = newApiToken();
    await this.tokens.insert({
      ...{ id, secretHash, createdAt, name: 'owner', role: 'owner', workspace: null },
      ...{ createdBy: null, expiresAt: null, lastUsedAt: null, revokedAt: null },
    });
    return text;
  }

  /** @throws AppError `auth.missing`, `auth.invalid`; and of logins what {@link OidcVerifier.verify} throws */
  async authenticate(authorization: string | undefined): Promise<Principal> {
    const bearer = readBearer(authorization);
    if (this.oidc && signedToken.test(bearer)) return this.oidc.verify(bearer);
    const given = parseApiToken(bearer);
    // What has another form, an unknown id and a wrong secret are answered alike.
    const row = given && (await this.tokens.find(given.id));
    if (!row || !sameSecret(given, row.secretHash)) throw unknownToken();
    this.requireAlive(row);
    await this.noteUse(row);
    return {
      ...{ kind: 'token' as const, id: row.id, name: row.name, workspace: row.workspace, role: row.role },
      expiresAtMs: row.expiresAt === null ? undefined : Date.parse(row.expiresAt),
    };
  }

  private requireAlive({ name, revokedAt, expiresAt }: TokenTable): void {
    if (revokedAt !== null)
      throw new AppError('auth.invalid', `the token "${name}" was revoked: ask an owner for another`);
    if (expiresAt !== null && Date.parse(expiresAt) <= this.clock.now()) {
      throw new AppError('auth.invalid', `the token "${name}" expired at ${expiresAt}: ask an owner for another`);
    }
  }

  private async noteUse({ id, lastUsedAt }: TokenTable): Promise<void> {
    const now = this.clock.now();
    if (lastUsedAt !== null && Math.abs(now - Date.parse(lastUsedAt)) < usedEveryMs) return;
    await this.tokens.used(id, toInstant(now));
  }
}

function unknownToken(): AppError {
  return new AppError('auth.invalid', 'this token is not known here: was it made by another control plane?');
}
