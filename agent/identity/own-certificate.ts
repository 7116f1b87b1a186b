/** Is a certificate that the control plane sent this device's, and would those who know the authority believe it? */
import { createPrivateKey, createPublicKey, X509Certificate } from 'node:crypto';
import { err, ok, type Result } from '#shared/kernel/result.js';

export interface ExpectedCertificate {
  readonly commonName: string;
  /** PKCS #8 PEM. */
  readonly privateKey: string;
  /** PEM. */
  readonly authorities: readonly string[];
}

/** @param chainPem the device's own certificate first */
export function checkOwnCertificate(chainPem: string, expected: ExpectedCertificate): Result<X509Certificate, string> {
  let chain: X509Certificate[];
  let roots: X509Certificate[];
  try {
    chain = splitPem(chainPem).map((pem) => new X509Certificate(pem));
    roots = expected.authorities.flatMap(splitPem).map((pem) => new X509Certificate(pem));
  } catch {
    return err('it cannot be read');
  }
  const [leaf] = chain;
  if (leaf === undefined) return err('there is none');
  if (leaf.subject !== `CN=${expected.commonName}`)
    return err(`it is of ${leaf.subject}, not CN=${expected.commonName}`);
  const ownKey = createPublicKey(createPrivateKey(expected.privateKey)).export({ format: 'der', type: 'spki' });
  if (!leaf.publicKey.export({ format: 'der', type: 'spki' }).equals(ownKey)) return err('it is for another key');
  let subject = leaf;
  for (let depth = 0; depth < 4; depth++) {
    if (roots.some((root) => issued(root, subject))) return ok(leaf);
    const issuer = chain.find((candidate) => candidate !== subject && issued(candidate, subject));
    if (issuer === undefined) break;
    subject = issuer;
  }
  return err('it does not come from an authority that this device trusts');
}

/** Does it come from an authority that others are listed before, or from none that is listed? Then it is being replaced. */
export function isOutdated(chainPem: string, expected: ExpectedCertificate): boolean {
  const { authorities } = expected;
  const [first = ''] = authorities;
  return authorities.length > 0 && !checkOwnCertificate(chainPem, { ...expected, authorities: [first] }).ok;
}

function issued(issuer: X509Certificate, subject: X509Certificate): boolean {
  return subject.checkIssued(issuer) && subject.verify(issuer.publicKey);
}

function splitPem(pem: string): string[] {
  return pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
}
