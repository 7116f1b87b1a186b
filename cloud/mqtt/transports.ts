/** What a {@link ClientStream} runs over: a TLS socket, or a WebSocket on one. */
import type { TLSSocket } from 'node:tls';
import type { WebSocket } from 'ws';
import type { Transport } from '#shared/platform/mqtt/client-stream.js';

export function overTls(socket: TLSSocket): Transport {
  socket.setNoDelay(true);
  return {
    write: (bytes, done) => void socket.write(bytes, done),
    pause: () => void socket.pause(),
    resume: () => void socket.resume(),
    end: () => void socket.end(),
    destroy: () => void socket.destroy(),
    onData: (listener) => void socket.on('data', listener),
    onClose: (listener) => void socket.once('close', listener).once('end', listener),
    waitingBytes: () => socket.writableLength,
  };
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
