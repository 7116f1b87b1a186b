/** Who asks, and what that allows. */
import { AppError } from '#shared/kernel/errors.js';
import { isAtLeast, type Role } from './role.js';

export interface Principal {
  readonly kind: 'token' | 'oidc';
  /** The token's id, or the issuer's name for the person. */
  readonly id: string;
  readonly name: string;
  /** Null: every workspace. */
  readonly workspace: string | null;
  readonly role: Role;
  /** When it ends by itself, in milliseconds since the epoch. */
  readonly expiresAtMs: number | undefined;
}

/** @throws AppError `auth.forbidden` when the role is too low */
export function requireRole(principal: Principal, needed: Role): void {
  if (isAtLeast(principal.role, needed)) return;
  throw new AppError(
    'auth.forbidden',
    `this needs the role ${needed}, and "${principal.name}" is a ${principal.role}: ask an owner for a token with it`,
  );
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
