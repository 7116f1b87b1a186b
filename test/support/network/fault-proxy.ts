/**
 * A TCP proxy that behaves like a bad link: delay, jitter and bandwidth of each direction, silence in both
 * or in one, refusal. As on a real network, bytes are never lost or reordered within a connection: what a
 * silent link holds comes when it speaks again, unless somebody has given up by then.
 */
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { DelayLine } from './delay-line.js';

/**
 * `pass`: everything. `silent`: nothing in either direction, and nobody is told, as behind a cut cable.
 * `half-open`: the device is heard and hears nothing. `refuse`: connections are reset.
 */
export type LinkState = 'pass' | 'silent' | 'half-open' | 'refuse';

export interface LinkQuality {
  /** Added to each direction, milliseconds. */
  readonly delayMs: number;
  /** At most so much more or less. */
  readonly jitterMs: number;
  /** Of all connections together, each direction for itself. */
  readonly bytesPerSecond: number;
}

export const perfectLink: LinkQuality = { delayMs: 0, jitterMs: 0, bytesPerSecond: Number.POSITIVE_INFINITY };

/** What one direction of a connection may have on the way, as a TCP window. */
const windowBytes = 1024 ** 2;

export interface FaultProxyOptions {
  /** Address to listen on; a loopback one, or one of a network namespace that the test made. */
  readonly host?: string;
  readonly target: { readonly host: string; readonly port: number };
  readonly random: () => number;
}

export class FaultProxy {
  private readonly pairs = new Set<Pair>();
  private readonly up: DelayLine;
  private readonly down: DelayLine;
  private current: LinkState = 'pass';
  /** Bytes that the client sent, and that came back to it. */
  readonly bytes = { up: 0, down: 0 };
  connections = 0;

  private constructor(
    private readonly server: Server,
    private readonly options: FaultProxyOptions,
  ) {
    this.up = new DelayLine(perfectLink, options.random);
    this.down = new DelayLine(perfectLink, options.random);
    server.on('connection', (client) => this.accept(client));
  }

  static async open(options: FaultProxyOptions, port = 0): Promise<FaultProxy> {
    const server = createServer({ noDelay: true, pauseOnConnect: true, allowHalfOpen: true });
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(port, options.host ?? '127.0.0.1', resolve);
    });
    return new FaultProxy(server, options);
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  get state(): LinkState {
    return this.current;
  }

  setQuality(quality: LinkQuality): void {
    this.up.quality = quality;
    this.down.quality = quality;
  }

  setState(state: LinkState): void {
    this.current = state;
    this.up.open = state === 'pass' || state === 'half-open';
    this.down.open = state === 'pass';
    if (state === 'refuse') for (const pair of this.pairs) pair.reset();
    else for (const pair of this.pairs) pair.dial();
  }

  async close(): Promise<void> {
    for (const pair of this.pairs) pair.reset();
    this.up.stop();
    this.down.stop();
    await new Promise<void>((resolve) => this.server.close(() => resolve()));
  }

  private accept(client: Socket): void {
    if (this.current === 'refuse') {
      client.on('error', () => undefined);
      client.resetAndDestroy();
      return;
    }
    this.connections += 1;
    const pair = new Pair(client, this.options.target, this.up, this.down, this.bytes, () => this.pairs.delete(pair));
    this.pairs.add(pair);
    // Behind a silent link the server learns of nobody.
    if (this.current !== 'silent') pair.dial();
  }
}

/** Both ends of one connection. */
class Pair {
  private server: Socket | undefined;

  constructor(
    private readonly client: Socket,
    private readonly target: FaultProxyOptions['target'],
    private readonly up: DelayLine,
    private readonly down: DelayLine,
    private readonly bytes: { up: number; down: number },
    private readonly onGone: () => void,
  ) {
    client.on('error', () => this.reset());
    // Whoever gives up behind a silent link is gone; the server must find out by itself.
    client.once('close', () => this.onGone());
  }

  dial(): void {
    if (this.server !== undefined || this.client.destroyed) return;
    const server = connect({ ...this.target, noDelay: true, allowHalfOpen: true });
    this.server = server;
    server.on('error', () => this.reset());
    this.carry(this.client, server, this.up, 'up');
    this.carry(server, this.client, this.down, 'down');
  }

  reset(): void {
    this.client.resetAndDestroy();
    this.server?.resetAndDestroy();
    this.onGone();
  }

  /** One direction: bytes, then their end, through the line; the reader is held back while the line is full. */
  private carry(from: Socket, to: Socket, line: DelayLine, direction: 'up' | 'down'): void {
    let onTheWay = 0;
    from.on('data', (chunk: Buffer) => {
      this.bytes[direction] += chunk.length;
      onTheWay += chunk.length;
      if (onTheWay >= windowBytes) from.pause();
      line.send(chunk.length, () => {
        const arrived = (): void => {
          onTheWay -= chunk.length;
          if (onTheWay < windowBytes) from.resume();
        };
        if (to.destroyed) arrived();
        else to.write(chunk, arrived);
      });
    });
    from.once('end', () => line.send(0, () => to.end()));
    from.once('close', (hadError) => {
      if (hadError) line.send(0, () => to.destroy());
    });
    from.resume();
  }
}
