/** Three roles, each of which may do what the one before it may. */
export const roles = ['reader', 'contributor', 'owner'] as const;
export type Role = (typeof roles)[number];

export function isAtLeast(role: Role, needed: Role): boolean {
  return roles.indexOf(role) >= roles.indexOf(needed);
}
