/** From what a person sets to the rules of a scoring port. */
import { AppError } from '#shared/kernel/errors.js';
import { isLoopbackName, parseAuthority } from './authority.js';
import type { HostAccess } from './host-access.js';

export interface AccessSettings {
  /** The IP address that is bound. */
  readonly address: string;
  /** Undefined: nobody said. */
  readonly access: HostAccess['mode'] | undefined;
  readonly hostNames: readonly string[];
  readonly corsOrigins: readonly string[];
}

/**
 * Open for this machine, closed for others, unless somebody said otherwise.
 *
 * @param remedy how to make a key, and how to say that none is wanted
 * @throws AppError `config.invalid` where it would be open to others without anyone having said so
 */
export function accessMode(
  { access, address }: Pick<AccessSettings, 'access' | 'address'>,
  hasKeys: boolean,
  remedy: string,
): HostAccess['mode'] {
  if (access !== undefined) return access;
  if (isLoopback(address)) return 'open';
  if (hasKeys) return 'keys';
  throw new AppError(
    'config.invalid',
    `the scoring address ${address} is reachable from other machines, and there is no key that they would need: ${remedy}`,
  );
}

/** @param machineName by which other machines know this one */
export function hostAccess(
  { address, hostNames, corsOrigins }: AccessSettings,
  mode: HostAccess['mode'],
  keyDigests: readonly string[],
  machineName: string,
): HostAccess {
  const reachable = isLoopback(address) ? [] : [machineName.toLowerCase()];
  return {
    mode,
    keyDigests,
    hostNames: [...hostNames, ...reachable],
    addresses: address === '0.0.0.0' || address === '::' ? 'any' : [address.toLowerCase()],
    corsOrigins,
  };
}

export function isLoopback(address: string): boolean {
  const authority = parseAuthority(address.includes(':') ? `[${address}]` : address);
  return authority !== undefined && isLoopbackName(authority);
}

/** @returns as `Host` has it, undefined for what no name server knows */
export function readHostName(text: string): string | undefined {
  const lower = text.trim().toLowerCase();
  return /^(?=.{1,253}$)[a-z0-9_](?:[a-z0-9_-]{0,62})(?:\.[a-z0-9_-]{1,63})*$/.test(lower) ? lower : undefined;
}

/** @returns as browsers write it; undefined for what is no origin */
export function readOrigin(text: string): string | undefined {
  if (text === '*') return text;
  const lower = text.trim().toLowerCase();
  return /^https?:\/\//.test(lower) && URL.canParse(lower) && new URL(lower).origin === lower ? lower : undefined;
}
