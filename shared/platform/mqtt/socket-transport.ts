import type { Socket } from 'node:net';
import type { Transport } from './client-stream.js';

/** A client of the broker on a TCP or TLS socket. */
export function overSocket(socket: Socket): Transport {
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
