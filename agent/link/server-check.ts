/**
 * Is the server that presented these certificates the control plane's? The same questions that OpenSSL
 * asks, but for the clock: a device's clock may stand at 1970, or years off, so dates are judged by
 * trusted time (agent/reconcile/trusted-time.ts). Trusted time is a lower bound, so it can tell that a
 * certificate has ended, and never that one has not begun: an authority that is pinned is believed there.
 */
import { X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import { err, ok, type Result } from '#shared/kernel/result.js';

export interface ExpectedServer {
  /** PEM, one or more certificates each: a chain must end at one of them. */
  readonly authorities: readonly string[];
  /** The name that the certificate must carry, whatever address it was reached by. */
  readonly name: string;
  /** Milliseconds since the Unix epoch; minus infinity when nothing is known. */
  readonly trustedNow: number;
}

const serverAuth = '1.3.6.1.5.5.7.3.1';
/** Leaf, two intermediates and a cross-signed authority; more is somebody's game. */
const maxChain = 5;

/**
 * @param presented DER, the server's own certificate first; the others in any order
 * @returns the certificates from the server's to the authority's, or why not, in words for a person
 */
export function checkServer(presented: readonly Uint8Array[], expected: ExpectedServer): Result<string[], string> {
  const [leaf, ...others] = presented.slice(0, 16).map(parse);
  if (leaf === undefined) return err('it presented no certificate that can be read');
  if (leaf.ca) return err('it presented the certificate of an authority as its own');
  if (!leaf.keyUsage?.includes(serverAuth)) return err('its certificate is not for a server');
  const named = isIP(expected.name) === 0 ? leaf.checkHost(expected.name) : leaf.checkIP(expected.name);
  if (named === undefined) return err(`its certificate does not carry the name ${expected.name}`);

  const anchors = expected.authorities.flatMap(readAuthorities);
  const intermediates = others.filter((certificate) => certificate?.ca === true) as X509Certificate[];
  const chain = climb([leaf], intermediates, anchors);
  if (chain === undefined) return err('its certificate comes from no authority that this device trusts');
  const ended = chain.find((certificate) => Date.parse(certificate.validTo) < expected.trustedNow);
  if (ended !== undefined) return err(`its certificate, or one above it, ended on ${ended.validTo}`);
  return ok(chain.map((certificate) => certificate.fingerprint256));
}

/** Depth first from the last of `chain` up to an anchor; the shortest way first, as anchors are tried first. */
function climb(
  chain: readonly X509Certificate[],
  intermediates: readonly X509Certificate[],
  anchors: readonly X509Certificate[],
): readonly X509Certificate[] | undefined {
  const last = chain.at(-1);
  if (last === undefined) return undefined;
  const anchor = anchors.find((candidate) => signed(candidate, last));
  if (anchor !== undefined) return [...chain, anchor];
  if (chain.length >= maxChain) return undefined;
  for (const candidate of intermediates) {
    if (chain.some((seen) => seen.fingerprint256 === candidate.fingerprint256) || !signed(candidate, last)) continue;
    const found = climb([...chain, candidate], intermediates, anchors);
    if (found !== undefined) return found;
  }
  return undefined;
}

function signed(issuer: X509Certificate, certificate: X509Certificate): boolean {
  return issuer.ca && certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey);
}

function parse(der: Uint8Array): X509Certificate | undefined {
  try {
    return new X509Certificate(der);
  } catch {
    return undefined;
  }
}

/** One that cannot be read trusts nobody. */
function readAuthorities(pem: string): X509Certificate[] {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  return blocks.flatMap((block) => parse(Buffer.from(block)) ?? []);
}
