/**
 * The way to a server: a TCP connection straight to it, or through an HTTP proxy that opens a tunnel
 * with CONNECT (RFC 9110, section 9.3.6). Every connection of the agent begins here. What comes through
 * is not trusted: TLS inside the tunnel is verified as without one.
 */
import { connect, type Socket } from 'node:net';
import { AppError, messageOf } from '#shared/kernel/errors.js';
import { type ProxySettings, proxyFor, type HttpProxy } from './proxy-choice.js';

export interface Server {
  readonly host: string;
  readonly port: number;
}

/** How long something may take, and by what it ends sooner. */
export interface Patience {
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
}

/** A proxy's answer is a status line and a few headers. */
const maxAnswerBytes = 16 * 1024;

/**
 * Resolves when the server's TCP connection stands.
 * @throws AppError `server.unreachable`, `config.invalid`
 */
export async function openTunnel(server: Server, settings: ProxySettings, patience: Patience): Promise<Socket> {
  const proxy = proxyFor(server, settings);
  if (!proxy.ok) throw new AppError('config.invalid', `link.proxy (or HTTPS_PROXY): ${proxy.error}`);
  const { value } = proxy;
  const socket = connect(value === undefined ? server : { host: value.host, port: value.port });
  socket.setNoDelay(true);
  const patient = endBy(socket, patience, 'no answer in time');
  try {
    await established(socket);
    if (value !== undefined) await requestTunnel(socket, server, value);
    return socket;
  } catch (error) {
    socket.destroy();
    if (error instanceof AppError) throw error;
    const via = value === undefined ? '' : ` through the proxy ${value.host}:${String(value.port)}`;
    throw new AppError(
      'server.unreachable',
      `cannot reach ${server.host}:${String(server.port)}${via}: ${messageOf(error)}`,
      { cause: error },
    );
  } finally {
    patient.over();
  }
}

/** Destroys the socket when patience ends, until it is `over`. */
export function endBy(
  socket: { destroy(error: Error): unknown },
  { timeoutMs, signal }: Patience,
  complaint: string,
): { over(): void } {
  const stop = (): void => void socket.destroy(new Error('it was given up'));
  const timer = setTimeout(() => socket.destroy(new Error(complaint)), timeoutMs);
  signal?.addEventListener('abort', stop, { once: true });
  if (signal?.aborted === true) stop();
  return {
    over: () => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', stop);
    },
  };
}

function established(socket: Socket): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.once('connect', () => {
      socket.removeListener('error', reject);
      resolve();
    });
    socket.once('error', reject);
    socket.once('close', () => reject(new Error('the connection was closed')));
  });
}

async function requestTunnel(socket: Socket, server: Server, proxy: HttpProxy): Promise<void> {
  const authority = `${server.host.includes(':') ? `[${server.host}]` : server.host}:${String(server.port)}`;
  const lines = [`CONNECT ${authority} HTTP/1.1`, `Host: ${authority}`];
  if (proxy.authorization !== undefined) lines.push(`Proxy-Authorization: ${proxy.authorization}`);
  socket.write(`${lines.join('\r\n')}\r\n\r\n`);
  const { head, rest } = await readAnswer(socket);
  const status = /^HTTP\/1\.[01] (\d{3})(?: |\r|$)/.exec(head)?.[1];
  const where = `the proxy ${proxy.host}:${String(proxy.port)}`;
  if (status === undefined) throw new AppError('server.unreachable', `${where} does not speak HTTP`);
  if (status === '407') {
    throw new AppError(
      'server.unreachable',
      `${where} wants a user and a password, or refuses these: set link.proxy to http://user:password@host:port`,
    );
  }
  if (!status.startsWith('2')) {
    throw new AppError(
      'server.unreachable',
      `${where} does not let us reach ${authority} (HTTP status ${status}): it must allow CONNECT to that port`,
    );
  }
  // The server speaks first in no protocol of ours; what came along belongs to it all the same.
  if (rest.length > 0) socket.unshift(rest);
}

/** Reads up to the empty line, byte-exact: what follows is the server's. */
function readAnswer(socket: Socket): Promise<{ head: string; rest: Buffer }> {
  return new Promise((resolve, reject) => {
    let collected = Buffer.alloc(0);
    const done = (finish: () => void): void => {
      socket.removeListener('readable', read);
      socket.removeListener('error', failed);
      socket.removeListener('close', closed);
      finish();
    };
    const read = (): void => {
      for (let chunk = socket.read() as Buffer | null; chunk !== null; chunk = socket.read() as Buffer | null) {
        collected = Buffer.concat([collected, chunk]);
        const end = collected.indexOf('\r\n\r\n');
        if (end >= 0 && end < maxAnswerBytes) {
          const [head, rest] = [collected.subarray(0, end).toString('latin1'), collected.subarray(end + 4)];
          done(() => resolve({ head, rest }));
          return;
        }
        if (collected.length > maxAnswerBytes) {
          done(() => reject(new Error('its answer is longer than any')));
          return;
        }
      }
    };
    const failed = (error: Error): void => done(() => reject(error));
    const closed = (): void => done(() => reject(new Error('the connection was closed')));
    socket.on('readable', read);
    socket.once('error', failed);
    socket.once('close', closed);
  });
}
