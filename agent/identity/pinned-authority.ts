/**
 * The server's certificate authority, taken from its TLS chain only when its SHA-256 is the pinned
 * one. Nothing is sent on this connection: whoever answers it learns nothing.
 */
import { createHash } from 'node:crypto';
import { connect, type DetailedPeerCertificate } from 'node:tls';
import { AppError, messageOf } from '#shared/kernel/errors.js';

export interface PinnedServer {
  readonly host: string;
  readonly port: number;
  readonly serverName: string;
}

/** @returns the authority's certificate, PEM. @throws AppError `enrolment.pin-mismatch`, `server.unreachable` */
export async function fetchPinnedAuthority(server: PinnedServer, pin: string, timeoutMs: number): Promise<string> {
  const chain = await presentedChain(server, timeoutMs);
  const authority = chain.find((der) => createHash('sha256').update(der).digest('hex') === pin);
  if (authority !== undefined) return toPem(authority);
  throw new AppError(
    'enrolment.pin-mismatch',
    `the server at ${server.host}:${String(server.port)} is not the one that made this token: its certificate comes from another authority. Check --url, and whether the token is of this control plane; nothing was sent`,
  );
}

function presentedChain({ host, port, serverName }: PinnedServer, timeoutMs: number): Promise<Buffer[]> {
  return new Promise((resolve, reject) => {
    const unreachable = (cause: unknown): void =>
      reject(
        new AppError(
          'server.unreachable',
          `cannot reach ${host}:${String(port)}: ${messageOf(cause)}; is the control plane running, and may this device reach it?`,
          {
            cause,
          },
        ),
      );
    // Not verified here, because the authority is what we came for; the pin decides.
    const socket = connect({ host, port, servername: serverName, rejectUnauthorized: false });
    socket.setTimeout(timeoutMs, () => socket.destroy(new Error('no answer in time')));
    socket.once('error', unreachable);
    socket.once('secureConnect', () => {
      const chain = chainOf(socket.getPeerCertificate(true));
      socket.removeListener('error', unreachable);
      socket.on('error', () => undefined);
      socket.destroy();
      resolve(chain);
    });
  });
}

function chainOf(leaf: DetailedPeerCertificate): Buffer[] {
  const chain: Buffer[] = [];
  let current: DetailedPeerCertificate | undefined = leaf;
  // A self-signed root names itself as its issuer.
  while (current?.raw !== undefined && !chain.some((seen) => current?.raw.equals(seen)) && chain.length < 8) {
    chain.push(current.raw);
    current = current.issuerCertificate;
  }
  return chain;
}

function toPem(der: Buffer): string {
  const lines = der.toString('base64').match(/.{1,64}/g) ?? [];
  return `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`;
}
