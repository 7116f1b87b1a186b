/** Who asks: a bearer token against the stored hashes, in a time that does not depend on how much matches. */
import { timingSafeEqual } from 'node:crypto';
import { AppError } from '#shared/kernel/errors.js';
import { toInstant, type Clock } from '#shared/kernel/clock.js';
import type { NewId } from '#shared/kernel/ids.js';
import type { TokenRepository } from '#cloud/store/token-repository.js';
import { hashOfToken, newTokenSecret } from './owner-token.js';

export interface Principal {
  readonly tokenId: string;
  /** Null: every workspace. */
  readonly workspace: string | null;
  readonly role: 'owner';
}

export class Authenticator {
  constructor(
    private readonly tokens: TokenRepository,
    private readonly clock: Clock,
    private readonly newId: NewId,
  ) {}

  /** Makes the owner token of a new installation; undefined when there is one already. It is never shown again. */
  async createFirstOwner(): Promise<string | undefined> {
    if ((await this.tokens.list()).length > 0) return undefined;
    const secret = newTokenSecret();
    await this.tokens.insert({
      id: this.newId(),
      workspace: null,
      role: 'owner',
      secretHash: hashOfToken(secret),
      createdAt: toInstant(this.clock.now()),
    });
    return secret;
  }

  /** @throws AppError `auth.missing`, `auth.invalid` */
  async authenticate(authorization: string | undefined): Promise<Principal> {
    if (authorization === undefined) {
      throw new AppError('auth.missing', 'this needs a token: send "Authorization: Bearer <token>", or flotilla login');
    }
    const secret = /^Bearer +([\x21-\x7e]{1,256})$/i.exec(authorization)?.[1];
    if (secret === undefined) {
      throw new AppError('auth.invalid', 'the Authorization header is not "Bearer <token>"');
    }
    const given = Buffer.from(hashOfToken(secret), 'hex');
    let principal: Principal | undefined;
    for (const token of await this.tokens.list()) {
      const matches = timingSafeEqual(given, Buffer.from(token.secretHash, 'hex'));
      if (matches) principal = { tokenId: token.id, workspace: token.workspace, role: token.role };
    }
    if (principal === undefined) {
      throw new AppError('auth.invalid', 'this token is not known here: was it made by another control plane?');
    }
    return principal;
  }
}

/** @throws AppError `auth.forbidden` when the token is for another workspace */
export function requireWorkspace(principal: Principal, workspace: string): void {
  if (principal.workspace !== null && principal.workspace !== workspace) {
    throw new AppError('auth.forbidden', `this token is for the workspace ${principal.workspace}, not ${workspace}`);
  }
}

/** @throws AppError `auth.forbidden` for what concerns the whole installation */
export function requireInstallation(principal: Principal): void {
  if (principal.workspace !== null) {
    throw new AppError('auth.forbidden', 'this needs the token of the installation, not one of a workspace');
  }
}
