/** What a new token may be, purely: no stronger than what makes it, in role, reach and duration. */
import { AppError } from '#shared/kernel/errors.js';
import { requireInstallation, requireRole, requireWorkspace, type Principal } from './principal.js';
import type { Role } from './role.js';

export interface TokenWish {
  /** Null: every workspace. */
  readonly workspace: string | null;
  readonly role: Role;
  /** Undefined: it does not expire. */
  readonly ttlMs: number | undefined;
}

/**
 * @returns when the token ends, in milliseconds since the epoch; undefined: never
 * @throws AppError `auth.forbidden` for what the maker is not allowed itself
 */
export function grantedUntil(maker: Principal, wish: TokenWish, nowMs: number): number | undefined {
  requireRole(maker, wish.role);
  if (wish.workspace === null) requireInstallation(maker);
  else requireWorkspace(maker, wish.workspace);
  const until = wish.ttlMs === undefined ? undefined : nowMs + wish.ttlMs;
  const own = maker.expiresAtMs;
  // What a login of a few minutes makes may stay: the person can be asked, and the audit log has the name.
  if (maker.kind === 'token' && own !== undefined && (until === undefined || until > own)) {
    throw new AppError(
      'auth.forbidden',
      `a token cannot make one that outlives it: "${maker.name}" expires at ${new Date(own).toISOString()}`,
    );
  }
  return until;
}
