/**
 * Whom the client takes for its control plane: the authority that a person compared, once, by its fingerprint. With it
 * every later connection is checked in full, by the name that the installation's own certificate always carries, so
 * that addresses may change.
 */
import { isIP } from 'node:net';
import { connect, type DetailedPeerCertificate } from 'node:tls';
import { AppError } from '#shared/kernel/errors.js';
import { controlPlaneServerName } from '#shared/protocol/enrolment.js';
import { connectionError } from './http-transport.js';

export interface ServerAuthority {
  /** PEM of the certificate that the server's must chain to. */
  readonly certificate: string;
  /** The name that the server's certificate must carry; undefined: that of the URL. */
  readonly serverName?: string | undefined;
}

const handshakeMs = 10_000;

/** SHA-256 in hex, as people paste it: with colons, in capitals. Undefined for anything else. */
export function parseFingerprint(text: string): string | undefined {
  const hex = text
    .replace(/^sha256:/i, '')
    .replaceAll(':', '')
    .toLowerCase();
  return /^[0-9a-f]{64}$/.test(hex) ? hex : undefined;
}

/**
 * Fetches the server's chain and takes the certificate of this fingerprint from it.
 *
 * @param fingerprint SHA-256 of the DER, hex
 * @throws AppError `server.untrusted` naming what the server showed instead, `server.unreachable`
 */
export async function learnAuthority(url: URL, fingerprint: string, signal?: AbortSignal): Promise<ServerAuthority> {
  const seen: string[] = [];
  // By the pinned name the installation's own certificate answers; by the URL's, perhaps one that was given to it.
  for (const serverName of [controlPlaneServerName, undefined]) {
    for (const { fingerprint: found, certificate } of await presentedChain(url, serverName, signal)) {
      if (found === fingerprint) return { certificate, serverName };
      if (!seen.includes(found)) seen.push(found);
    }
  }
  throw new AppError(
    'server.untrusted',
    `${url.origin} shows no certificate of this authority; its own is ${seen.at(-1) ?? 'none'}. Log in only if that is what ` +
      '"flotilla cloud" printed on the control plane; otherwise somebody stands between',
    { details: { seen } },
  );
}

/** The fingerprint of the last certificate that the server shows: of its authority, as a rule. */
export async function presentedAuthority(url: URL, signal?: AbortSignal): Promise<string | undefined> {
  return (await presentedChain(url, controlPlaneServerName, signal)).at(-1)?.fingerprint;
}

interface Presented {
  readonly fingerprint: string;
  /** PEM. */
  readonly certificate: string;
}

/** From the server's own certificate upwards. Nothing is sent: nobody is trusted yet. */
function presentedChain(url: URL, serverName: string | undefined, signal?: AbortSignal): Promise<Presented[]> {
  const host = url.hostname.replace(/^\[|\]$/g, '');
  const name = serverName ?? (isIP(host) === 0 ? host : undefined);
  return new Promise((resolve, reject) => {
    const socket = connect({
      host,
      port: Number(url.port === '' ? 443 : url.port),
      ...(name === undefined ? {} : { servername: name }),
      rejectUnauthorized: false,
    });
    const fail = (error: unknown): void => {
      socket.destroy();
      reject(connectionError(error, url, signal));
    };
    socket.setTimeout(handshakeMs, () => fail(new Error('no TLS handshake within 10 s')));
    signal?.addEventListener('abort', fail, { once: true });
    socket.once('error', fail);
    socket.once('secureConnect', () => {
      const chain: Presented[] = [];
      for (let at: DetailedPeerCertificate | undefined = socket.getPeerCertificate(true); at; ) {
        const pem = `-----BEGIN CERTIFICATE-----\n${at.raw.toString('base64').replace(/.{64}/g, '$&\n')}\n-----END CERTIFICATE-----\n`;
        chain.push({ fingerprint: at.fingerprint256.replaceAll(':', '').toLowerCase(), certificate: pem });
        const issuer: DetailedPeerCertificate | undefined = at.issuerCertificate;
        // The last one is its own issuer.
        at = issuer?.fingerprint256 === at.fingerprint256 ? undefined : issuer;
      }
      signal?.removeEventListener('abort', fail);
      socket.destroy();
      resolve(chain);
    });
  });
}
