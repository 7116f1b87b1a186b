/** What a {@link ClientStream} runs over: a TLS socket, or a WebSocket on one. */
import type { TLSSocket } from 'node:tls';
import type { WebSocket } from 'ws';
import type { Transport } from '#shared/platform/mqtt/client-stream.js';
import { overSocket } from '#shared/platform/mqtt/socket-transport.js';

export function overTls(socket: TLSSocket): Transport {
  socket.setNoDelay(true);
  return overSocket(socket);
}

/** MQTT bytes in binary messages, of which one may hold parts of packets and several packets. */
export function overWebSocket(client: WebSocket, socket: TLSSocket): Transport {
  socket.setNoDelay(true);
  client.binaryType = 'nodebuffer';
  // What goes wrong in its framing closes it.
  client.on('error', () => undefined);
  return {
    write: (bytes, done) => client.send(bytes, { binary: true, compress: false }, done),
    pause: () => client.pause(),
    resume: () => client.resume(),
    end: () => client.close(1000),
    destroy: () => client.terminate(),
    onData: (listener) => {
      client.on('message', (data, isBinary) => {
        // The protocol knows no text.
        if (isBinary && Buffer.isBuffer(data)) listener(data);
        else client.terminate();
      });
    },
    onClose: (listener) => void client.once('close', listener),
    waitingBytes: () => client.bufferedAmount,
  };
}
