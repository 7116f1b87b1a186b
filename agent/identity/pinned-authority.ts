/**
 * The server's certificate authority, taken from its TLS chain only when its SHA-256 is the pinned
 * one. Nothing is sent on this connection: whoever answers it learns nothing.
 */
import { createHash } from 'node:crypto';
import { AppError } from '#shared/kernel/errors.js';
import { controlPlaneServerName } from '#shared/protocol/enrolment.js';
import { handshake } from '#agent/link/secure-connect.js';
import type { Gateway } from './gateway-request.js';

/** @returns the authority's certificate, PEM. @throws AppError `enrolment.pin-mismatch`, `server.unreachable` */
export async function fetchPinnedAuthority(
  server: Pick<Gateway, 'host' | 'port' | 'proxy' | 'timeoutMs'>,
  pin: string,
): Promise<string> {
  const { host, port, proxy, timeoutMs } = server;
  // Not verified here, because the authority is what we came for; the pin decides.
  const { chain, socket } = await handshake({ host, port, expected: { name: controlPlaneServerName } }, proxy, {
    timeoutMs,
  });
  socket.destroy();
  const authority = chain.find((der) => createHash('sha256').update(der).digest('hex') === pin);
  if (authority !== undefined) return toPem(authority);
  throw new AppError(
    'enrolment.pin-mismatch',
    `the server at ${host}:${String(port)} is not the one that made this token: its certificate comes from another authority. Check --url, and whether the token is of this control plane; nothing was sent`,
  );
}

function toPem(der: Buffer): string {
  const lines = der.toString('base64').match(/.{1,64}/g) ?? [];
  return `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`;
}
