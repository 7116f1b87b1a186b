/** A verified stream of MQTT bytes to the broker: over TLS as it is, or in WebSocket messages. */
import type { Duplex } from 'node:stream';
import { createWebSocketStream, WebSocket } from 'ws';
import { AppError } from '#shared/kernel/errors.js';
import { maxPacketBytes } from '#shared/protocol/frame-guard.js';
import type { ProxySettings } from './proxy-choice.js';
import { secureConnect, type SecureTarget } from './secure-connect.js';
import { endBy, type Patience } from './tunnel.js';

export interface BrokerTarget extends Pick<SecureTarget, 'expected' | 'client'> {
  /** mqtts://host:port, or wss://host:port/path */
  readonly url: string;
}

/** @throws AppError `server.unreachable`, `server.untrusted`, `config.invalid` */
export async function openBrokerStream(
  { url: text, expected, client }: BrokerTarget,
  proxy: ProxySettings,
  patience: Patience,
): Promise<Duplex> {
  const url = new URL(text);
  const webSocket = url.protocol === 'wss:';
  if (!webSocket && url.protocol !== 'mqtts:') {
    throw new AppError(
      'config.invalid',
      `the broker's address must begin with mqtts:// or wss://, not ${url.protocol}//`,
    );
  }
  const host = url.hostname.replace(/^\[|\]$/g, '');
  const port = url.port === '' ? (webSocket ? 443 : 8883) : Number(url.port);
  const socket = await secureConnect(
    { host, port, expected, client, ...(webSocket ? { alpn: ['http/1.1'] } : {}) },
    proxy,
    patience,
  );
  socket.setNoDelay(true);
  if (!webSocket) return socket;
  return new Promise((resolve, reject) => {
    const client = new WebSocket(url, ['mqtt'], {
      createConnection: () => socket,
      perMessageDeflate: false,
      followRedirects: false,
      maxPayload: maxPacketBytes * 2,
    });
    const patient = endBy({ destroy: () => client.terminate() }, patience, 'no WebSocket in time');
    const failed = (reason: string): void => {
      patient.over();
      socket.destroy();
      reject(new AppError('server.unreachable', `no MQTT over WebSocket at ${text}: ${reason}`));
    };
    client.once('error', (error) => failed(error.message));
    client.once('close', () => failed('the connection was closed'));
    client.once('unexpected-response', (_request, response) => {
      failed(`it answered with HTTP status ${String(response.statusCode)}`);
    });
    client.once('open', () => {
      patient.over();
      client.removeAllListeners();
      // Half open, it would never say that the other end is gone.
      resolve(createWebSocketStream(client, { allowHalfOpen: false }));
    });
  });
}
