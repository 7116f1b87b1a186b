/**
 * The HTTP server of the front, over TLS or not: plain requests are read by us, all others by Node's strict parser; and an
 * end that fails no request.
 */
import * as http from 'node:http';
import * as https from 'node:https';
import type { AddressInfo } from 'node:net';
import { AppError } from '#shared/kernel/errors.js';
import { errno } from '#shared/platform/atomic-file.js';
import { ConnectionDrain } from '#shared/scoring/connection-drain.js';
import { refuseUnreadable } from '#shared/scoring/host/unreadable-request.js';
import type { Caller } from './caller.js';
import { readByNode } from './node-intake.js';
import { readPlain } from './plain-intake.js';

export interface TlsFiles {
  /** PEM, the chain. */
  readonly cert: string | Buffer;
  readonly key: string | Buffer;
}

export interface ListenOptions {
  /** IP address. */
  readonly host: string;
  /** 0 picks a free one. */
  readonly port: number;
  /** Absent: plain HTTP. */
  readonly tls?: TlsFiles;
  /** False: all requests are read by Node. */
  readonly plain?: boolean;
}

export interface FrontAddress {
  readonly host: string;
  readonly port: number;
  /** Without a slash at its end. */
  readonly url: string;
}

/** Less than replicas take, whom we send a little more. */
const maxHeaderSize = 15 * 1024;
/** Told to clients; connections are closed later, since one may be asking meanwhile. Longer than balancers keep theirs. */
const keepAliveSeconds = 75;
const keepAliveSlackMs = 5000;
/** How long connections at rest are waited for at the end: nobody may take their next request. */
const lingerMs = 5000;
const headersTimeoutMs = 10_000;
/** Of a whole request: the longest timeout of a deployment, and its body before it. */
const requestTimeoutMs = 300_000;
/** Each may hold the beginning of a body (`heldBytes`). */
const maxConnections = 4096;
const plainTimes = {
  keepAliveSeconds,
  restMs: keepAliveSeconds * 1000 + keepAliveSlackMs,
  awaitMs: headersTimeoutMs,
};
const usualTls = { minVersion: 'TLSv1.2' } as const;

export class FrontServer {
  private constructor(
    private readonly server: http.Server | https.Server,
    private readonly drain: ConnectionDrain,
    private readonly stopReading: () => void,
    readonly address: FrontAddress,
  ) {}

  /** @throws AppError `port.taken`, `config.invalid` for a certificate that cannot be used */
  static async listen(options: ListenOptions, answer: (caller: Caller) => void): Promise<FrontServer> {
    const { host, port, tls, plain = true } = options;
    const server = create(tls);
    server.keepAliveTimeout = keepAliveSeconds * 1000;
    server.maxConnections = maxConnections;
    readByNode(server, answer);
    server.on('clientError', refuseUnreadable);
    const drain = new ConnectionDrain(server);
    const stopReading = plain ? readPlain(server, plainTimes, drain, answer) : () => undefined;
    server.prependListener('checkContinue', (_request, response: http.ServerResponse) => {
      if (drain.begun) response.shouldKeepAlive = false;
    });
    await new Promise<void>((resolve, reject) => {
      server.once('error', (error) => reject(listenFailure(host, port, error)));
      server.listen({ host, port }, resolve);
    });
    const bound = (server.address() as AddressInfo).port;
    const name = host.includes(':') ? `[${host}]` : host;
    const url = `${tls ? 'https' : 'http'}://${name}:${String(bound)}`;
    return new FrontServer(server, drain, stopReading, { host, port: bound, url });
  }

  /** From the next connection on. @throws AppError `config.invalid` */
  setTls(tls: TlsFiles): void {
    if (!(this.server instanceof https.Server)) throw new AppError('config.invalid', 'the front listens without TLS');
    const { server } = this;
    usable(() => server.setSecureContext({ ...usualTls, ...tls }));
  }

  /** Accepts nobody from now on; answers what is under way, and what still comes on open connections, at most for so long. */
  async close(drainMs: number): Promise<void> {
    const timer = setTimeout(() => this.drain.destroyAll(), drainMs);
    await this.drain.finish(Math.min(drainMs, lingerMs));
    clearTimeout(timer);
    this.stopReading();
  }
}

function create(tls: TlsFiles | undefined): http.Server | https.Server {
  const options = {
    ...{ noDelay: true, maxHeaderSize, insecureHTTPParser: false, requireHostHeader: true },
    ...{ headersTimeout: headersTimeoutMs, requestTimeout: requestTimeoutMs },
    connectionsCheckingInterval: headersTimeoutMs / 2,
  };
  return tls ? usable(() => https.createServer({ ...options, ...usualTls, ...tls })) : http.createServer(options);
}

function usable<T>(make: () => T): T {
  try {
    return make();
  } catch (error) {
    throw new AppError('config.invalid', 'the certificate or key of the front cannot be used: give both as PEM', {
      cause: error,
    });
  }
}

function listenFailure(host: string, port: number, error: Error): AppError {
  const code = errno(error);
  if (code !== 'EADDRINUSE' && code !== 'EACCES' && code !== 'EADDRNOTAVAIL') {
    return new AppError('config.invalid', `the front cannot listen on ${host} port ${String(port)}: ${error.message}`);
  }
  return new AppError(
    'port.taken',
    `the front cannot listen on ${host} port ${String(port)} (${code}): choose an address of this machine and a port that this user may bind and nobody has`,
    { details: { host, port } },
  );
}
