/** From the claims of a verified token to who asks, purely. What the configuration does not name opens nothing. */
import { AppError } from '#shared/kernel/errors.js';
import { isName } from '#shared/kernel/names.js';
import type { Principal } from '../principal.js';
import { isAtLeast, type Role } from '../role.js';
import type { OidcSettings } from './oidc-settings.js';

export type Claims = Readonly<Record<string, unknown>>;

/** @throws AppError `auth.forbidden` where the claims hold no subject, or no role or workspace that is configured */
export function principalOf(claims: Claims, settings: OidcSettings): Principal {
  const id = subjectOf(claims);
  return {
    kind: 'oidc',
    id,
    name: nameOf(claims) ?? id,
    role: roleOf(claims, settings),
    workspace: workspaceOf(claims, settings),
    expiresAtMs: typeof claims['exp'] === 'number' ? claims['exp'] * 1000 : undefined,
  };
}

/** Who it is stands in the audit log: a login without that is nobody's. */
function subjectOf({ sub }: Claims): string {
  if (typeof sub === 'string' && sub !== '') return sub;
  throw new AppError('auth.forbidden', 'your login names nobody: its claim sub must be a text');
}

/** The strongest of those that are mapped. */
function roleOf(claims: Claims, { rolesClaim, mapping }: OidcSettings): Role {
  const value = claimAt(claims, rolesClaim);
  const names = (Array.isArray(value) ? value : [value]).filter((name) => typeof name === 'string');
  let strongest: Role | undefined;
  for (const name of names) {
    const role = Object.hasOwn(mapping, name) ? mapping[name] : undefined;
    if (role !== undefined && (strongest === undefined || isAtLeast(role, strongest))) strongest = role;
  }
  if (strongest !== undefined) return strongest;
  throw new AppError(
    'auth.forbidden',
    `your login has no role here: its claim ${rolesClaim} holds none that oidc.mapping of the control plane names`,
  );
}

function workspaceOf(claims: Claims, { workspaceClaim }: OidcSettings): string | null {
  if (workspaceClaim === undefined) return null;
  const value = claimAt(claims, workspaceClaim);
  if (value === '*') return null;
  if (typeof value === 'string' && isName(value)) return value;
  throw new AppError('auth.forbidden', `your login has no workspace here: its claim ${workspaceClaim} names none`);
}

/** Own properties only, whatever the path. */
function claimAt(claims: Claims, path: string): unknown {
  if (Object.hasOwn(claims, path)) return claims[path];
  return path.split('.').reduce<unknown>((at, key) => {
    if (typeof at !== 'object' || at === null || !Object.hasOwn(at, key)) return undefined;
    return (at as Claims)[key];
  }, claims);
}

function nameOf(claims: Claims): string | undefined {
  for (const key of ['preferred_username', 'email', 'name']) {
    const value = claims[key];
    if (typeof value === 'string' && value !== '') return value.slice(0, 128);
  }
  return undefined;
}
