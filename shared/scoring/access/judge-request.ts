/**
 * Whether a request may be answered, from what its headers say. Three questions, in this order:
 *
 * - Is it meant for us? A page whose name an attacker lets point at this machine (DNS rebinding) asks with that
 *   name in `Host`. An address cannot be made to point elsewhere.
 * - Does a page of another origin ask? Its browser says so, in `Origin` or in `Sec-Fetch-Site`; programs send
 *   neither. Without this any page that a person at this machine opens could have models run.
 * - Has it a key, where one is needed?
 */
import type { ErrorCode } from '#shared/kernel/errors.js';
import { isLoopbackName, parseAuthority } from './authority.js';
import type { HostAccess } from './host-access.js';

export interface AccessQuestion {
  /** Headers as they came; `host` is gRPC's authority too. */
  readonly host: string | undefined;
  readonly origin: string | undefined;
  readonly fetchSite: string | undefined;
  /** A browser asks what a page may ask. It sends no key with that. */
  readonly isPreflight: boolean;
  /** Whether we live: answered without a key, since who watches over a host has none. */
  readonly isHealth: boolean;
}

/** What a request brought to show who it is of. */
export type Credential = 'none' | 'unknown' | 'known';

export type AccessVerdict =
  /** @property corsOrigin whose page may read the answer */
  | { readonly kind: 'admitted'; readonly corsOrigin?: string }
  | { readonly kind: 'preflight'; readonly corsOrigin: string }
  | { readonly kind: 'refused'; readonly code: ErrorCode; readonly message: string };

type Rules = Pick<HostAccess, 'mode' | 'hostNames' | 'addresses' | 'corsOrigins'>;

const admitted: AccessVerdict = { kind: 'admitted' };
const shownLength = 100;

/** @param credential asked only where it matters */
export function judgeRequest(rules: Rules, question: AccessQuestion, credential: () => Credential): AccessVerdict {
  const { host, origin, isPreflight, isHealth } = question;
  // A browser always sends one; Node has refused what must send one and does not.
  if (host !== undefined && !isOurs(rules, host)) return refused('request.wrong-host', wrongHost(host));
  const isNamed = origin !== undefined && isOriginNamed(rules, origin);
  if (!isNamed && isOfAnotherPage(question)) return refused('request.wrong-origin', wrongOrigin(origin));
  if (isNamed && isPreflight) return { kind: 'preflight', corsOrigin: origin };
  if (rules.mode === 'keys' && !isHealth) {
    const given = credential();
    if (given === 'none') return refused('auth.missing', 'this host asks for a key: send it as Authorization: Bearer');
    if (given === 'unknown') return refused('auth.invalid', 'this is no key of this host, or it was revoked');
  }
  return isNamed ? { kind: 'admitted', corsOrigin: origin } : admitted;
}

function isOurs({ hostNames, addresses }: Rules, host: string): boolean {
  const authority = parseAuthority(host);
  if (authority === undefined) return false;
  if (isLoopbackName(authority)) return true;
  const { name, isAddress } = authority;
  return isAddress ? addresses === 'any' || addresses.includes(name) : hostNames.includes(name);
}

function isOriginNamed({ corsOrigins }: Rules, origin: string): boolean {
  return corsOrigins.includes(origin.toLowerCase()) || corsOrigins.includes('*');
}

/** A page may ask the host that it came from. What is of another scheme, or of none (`null`), did not. */
function isOfAnotherPage({ host, origin, fetchSite }: AccessQuestion): boolean {
  if (origin === undefined) return fetchSite !== undefined && fetchSite !== 'none' && fetchSite !== 'same-origin';
  const authority = /^https?:\/\/(.+)$/i.exec(origin)?.[1];
  return authority === undefined || authority.toLowerCase() !== host?.toLowerCase();
}

function wrongHost(host: string): string {
  return `this host is not "${host.slice(0, shownLength)}": ask it by an address that it is bound to, or as localhost; other names are listed in scoring.hostNames (flotilla serve --host-name)`;
}

function wrongOrigin(origin: string | undefined): string {
  const whose = origin === undefined ? 'of another site' : `of ${origin.slice(0, shownLength)}`;
  return `a page ${whose} asked, and may not: origins that may are listed in scoring.corsOrigins (flotilla serve --cors-origin)`;
}

function refused(code: ErrorCode, message: string): AccessVerdict {
  return { kind: 'refused', code, message };
}
