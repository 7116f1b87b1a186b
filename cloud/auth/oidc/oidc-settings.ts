import type { Role } from '../role.js';

/** An issuer of tokens for people. All of it is configuration: nothing of a token says where to ask. */
export interface OidcSettings {
  readonly issuer: string;
  readonly audience: string;
  /** The public client of the command line. */
  readonly clientId: string;
  readonly scopes: string;
  /** Dots lead into objects: `realm_access.roles`. */
  readonly rolesClaim: string;
  /** Undefined: roles count in every workspace. */
  readonly workspaceClaim?: string | undefined;
  /** Role by value of the roles claim. */
  readonly mapping: Readonly<Record<string, Role>>;
}
