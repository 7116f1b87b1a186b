/**
 * MQTT over WebSocket on somebody else's HTTPS listener: takes upgrade requests, and hands on those that
 * come with a verified client certificate and speak `mqtt`.
 */
import type { IncomingMessage } from 'node:http';
import { TLSSocket } from 'node:tls';
import type { Duplex } from 'node:stream';
import { type WebSocket, WebSocketServer } from 'ws';
import { maxPacketBytes } from '#shared/protocol/frame-guard.js';
import { type ClientCertificate, clientCertificateOf } from './client-certificate.js';

/** Where devices look for it. */
export const webSocketPath = '/mqtt';

export type Admit = (socket: TLSSocket, certificate: ClientCertificate) => ((client: WebSocket) => void) | undefined;

export class WebSocketDoor {
  private readonly server = new WebSocketServer({
    noServer: true,
    clientTracking: false,
    perMessageDeflate: false,
    maxPayload: 2 * maxPacketBytes,
    handleProtocols: () => 'mqtt',
  });

  /** @param admit called with a verified client; gives what takes the connection, or nothing when it may not */
  constructor(private readonly admit: Admit) {}

  /** An upgrade request of the path above. */
  handle(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    const refuse = (status: string, why: string): void => {
      socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Type: text/plain\r\n\r\n${why}\n`);
    };
    const certificate = socket instanceof TLSSocket ? clientCertificateOf(socket) : undefined;
    if (!(socket instanceof TLSSocket) || certificate === undefined) {
      refuse('401 Unauthorized', 'MQTT needs a client certificate of this installation');
      return;
    }
    // A browser that holds a certificate would show it for any page that asks.
    if (request.headers.origin !== undefined) {
      refuse('403 Forbidden', 'not for web pages');
      return;
    }
    const protocols = (request.headers['sec-websocket-protocol'] ?? '').split(',').map((text) => text.trim());
    if (!protocols.includes('mqtt')) {
      refuse('400 Bad Request', 'the WebSocket subprotocol must be mqtt');
      return;
    }
    const take = this.admit(socket, certificate);
    if (take === undefined) {
      refuse('503 Service Unavailable', 'too many connections');
      return;
    }
    socket.on('error', () => undefined);
    this.server.handleUpgrade(request, socket, head, take);
  }
}
