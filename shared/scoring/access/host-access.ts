/** Who may ask a scoring host, as its owner says it: plain data that goes over the channel. */

/** Addresses that a request may name in `Host`; `any`: the port is bound on all addresses of the machine. */
export type NamedAddresses = readonly string[] | 'any';

export interface HostAccess {
  /** `keys`: everything but health needs one of the keys, or the control token. */
  readonly mode: 'open' | 'keys';
  /** SHA-256 of each key, in hexadecimal. */
  readonly keyDigests: readonly string[];
  /** Names besides those of loopback that a request may name in `Host`. */
  readonly hostNames: readonly string[];
  readonly addresses: NamedAddresses;
  /** Origins whose pages may read answers, as browsers write them; `*`: any. */
  readonly corsOrigins: readonly string[];
}

/** For whoever says nothing: this machine's programs, and no web page. */
export const loopbackAccess: HostAccess = {
  mode: 'open',
  keyDigests: [],
  hostNames: [],
  addresses: [],
  corsOrigins: [],
};
