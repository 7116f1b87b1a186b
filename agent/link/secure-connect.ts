/**
 * A TLS connection to the control plane, handed over only when its certificate was verified as
 * server-check.ts says: before that not a byte of ours leaves. Used for enrolment, for HTTP and for MQTT.
 */
import { connect, type DetailedPeerCertificate, type TLSSocket } from 'node:tls';
import { AppError, messageOf } from '#shared/kernel/errors.js';
import type { ProxySettings } from './proxy-choice.js';
import { checkServer, type ExpectedServer } from './server-check.js';
import { endBy, openTunnel, type Patience, type Server } from './tunnel.js';

export interface SecureTarget extends Server {
  /** Its name goes along as SNI. */
  readonly expected: ExpectedServer;
  /** This device's certificate chain and key, PEM; absent before it is enrolled. */
  readonly client?: { readonly certificate: string; readonly privateKey: string } | undefined;
  readonly alpn?: readonly string[];
}

/** @throws AppError `server.unreachable`, `server.untrusted`, `config.invalid` */
export async function secureConnect(
  target: SecureTarget,
  proxy: ProxySettings,
  patience: Patience,
): Promise<TLSSocket> {
  const { host, port, expected, client } = target;
  const { chain, socket } = await handshake(target, proxy, patience, client);
  const verdict = checkServer(chain, expected);
  if (verdict.ok) return socket;
  socket.destroy();
  throw new AppError(
    'server.untrusted',
    `what answers at ${host}:${String(port)} is not this device's control plane: ${verdict.error}; nothing was sent`,
  );
}

/** What the server presented, DER, its own first; nothing is verified but that it holds the first one's key. */
export async function handshake(
  target: Server & { readonly expected: { readonly name: string }; readonly alpn?: readonly string[] },
  proxy: ProxySettings,
  patience: Patience,
  client?: SecureTarget['client'],
): Promise<{ chain: Buffer[]; socket: TLSSocket }> {
  const raw = await openTunnel(target, proxy, patience);
  return new Promise((resolve, reject) => {
    const { host, port, expected, alpn } = target;
    const socket = connect({
      socket: raw,
      servername: expected.name,
      // Judged by the caller, by a clock that can be trusted.
      rejectUnauthorized: false,
      minVersion: 'TLSv1.2',
      ...(alpn === undefined ? {} : { ALPNProtocols: [...alpn] }),
      ...(client === undefined ? {} : { cert: client.certificate, key: client.privateKey }),
    });
    const patient = endBy(socket, patience, 'no TLS session in time');
    const failed = (error: Error): void => {
      patient.over();
      raw.destroy();
      reject(
        new AppError('server.unreachable', `no TLS session with ${host}:${String(port)}: ${messageOf(error)}`, {
          cause: error,
        }),
      );
    };
    const closed = (): void => failed(new Error('the connection was closed'));
    socket.once('error', failed);
    socket.once('close', closed);
    socket.once('secureConnect', () => {
      patient.over();
      socket.removeListener('close', closed);
      socket.removeListener('error', failed);
      // Until the caller listens, an error must not end the process.
      socket.on('error', () => undefined);
      resolve({ chain: chainOf(socket.getPeerCertificate(true)), socket });
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
