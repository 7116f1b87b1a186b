/** A client's connection without a network: bytes are given to a server of Node's in pieces, and what it writes is kept. */
import type { Server } from 'node:http';
import { Duplex } from 'node:stream';

class Injected extends Duplex {
  readonly written: Buffer[] = [];

  override _read(): void {
    // What comes is pushed.
  }

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.written.push(chunk);
    done();
  }
}

/** So often a server may put off what it does. */
const turns = 24;

/**
 * Each piece is given when the server is done with those before; after the last the client says that it sends no more.
 *
 * @returns what the server wrote
 */
export async function inject(server: Server, pieces: readonly Buffer[]): Promise<Buffer> {
  const connection = new Injected({ allowHalfOpen: true });
  connection.on('error', () => undefined);
  server.emit('connection', connection);
  for (const piece of pieces) {
    if (piece.length > 0) connection.push(piece);
    await pass(piece.length === 1 ? 1 : 6);
  }
  await pass(turns);
  connection.push(null);
  await pass(turns);
  connection.destroy();
  return Buffer.concat(connection.written);
}

async function pass(count: number): Promise<void> {
  for (let left = count; left > 0; left--) await new Promise((resolve) => setImmediate(resolve));
}
