/** What stands in `Host`, and behind the scheme of an origin: a name or an address, and maybe a port. */

export interface Authority {
  /** In lower case, without brackets and without the dot at the end. */
  readonly name: string;
  readonly isAddress: boolean;
}

const bracketed = /^\[([0-9a-f:.]{2,45})\](?::\d{0,5})?$/;
const plain = /^([a-z0-9._~%-]{1,255}?)\.?(?::\d{0,5})?$/;
const ipv4 = /^\d{1,3}(?:\.\d{1,3}){3}$/;

/** @returns undefined for what is none */
export function parseAuthority(text: string): Authority | undefined {
  const lower = text.toLowerCase();
  const ipv6 = bracketed.exec(lower)?.[1];
  if (ipv6 !== undefined) return { name: ipv6, isAddress: true };
  const name = plain.exec(lower)?.[1];
  return name === undefined ? undefined : { name, isAddress: ipv4.test(name) };
}

/** Names that no name server outside this machine is asked for. */
export function isLoopbackName({ name, isAddress }: Authority): boolean {
  return isAddress ? name === '::1' || name.startsWith('127.') : name === 'localhost';
}
