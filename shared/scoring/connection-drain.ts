/**
 * Ends an HTTP server without failing a request. `http.Server.close()` destroys idle connections, and
 * with them requests that are on their way; fastify's answers them 503. Here the listening socket is
 * closed alone, every answer from then on says `Connection: close`, and it is over when no connection
 * is left, or when those left have been idle for longer than a client may keep one.
 */
import type { Server, ServerResponse } from 'node:http';
import * as net from 'node:net';

/** Node keeps an idle connection this much longer than it tells the client. */
const keepAliveSlackMs = 1000;

export class ConnectionDrain {
  private readonly sockets = new Set<net.Socket>();
  private readonly underWay = new Set<ServerResponse>();
  /** That Node's server knows nothing of. */
  private othersUnderWay = 0;
  private draining = false;
  private changed: () => void = () => undefined;

  constructor(private readonly server: Server) {
    server.on('connection', (socket: net.Socket) => {
      this.sockets.add(socket);
      socket.once('close', () => {
        this.sockets.delete(socket);
        this.changed();
      });
    });
    // Before the handler, which may answer within the same tick.
    server.prependListener('request', (_request, response: ServerResponse) => {
      if (this.draining) response.shouldKeepAlive = false;
      this.underWay.add(response);
      response.once('close', () => {
        this.underWay.delete(response);
        this.changed();
      });
    });
  }

  get begun(): boolean {
    return this.draining;
  }

  /** Connections. */
  get open(): number {
    return this.sockets.size;
  }

  /** One that Node's server does not read; {@link requestEnded} follows. */
  requestBegan(): void {
    this.othersUnderWay += 1;
  }

  requestEnded(): void {
    this.othersUnderWay -= 1;
    if (this.draining) this.changed();
  }

  /** Whatever is under way. */
  destroyAll(): void {
    for (const socket of this.sockets) socket.destroy();
  }

  /** Stops accepting, at once. */
  begin(): void {
    if (this.draining) return;
    this.draining = true;
    if (this.server.listening) net.Server.prototype.close.call(this.server);
    for (const response of this.underWay) {
      if (!response.headersSent) response.shouldKeepAlive = false;
    }
  }

  /**
   * @param idleMs how long connections without a request are waited for: `keepAliveTimeout` where a
   *   successor serves the same address, 0 where nobody will
   */
  async finish(idleMs: number = this.server.keepAliveTimeout + keepAliveSlackMs): Promise<void> {
    this.begin();
    let waitedEnough = false;
    const timer = setTimeout(() => {
      waitedEnough = true;
      this.changed();
    }, idleMs);
    while (this.sockets.size > 0 && !(waitedEnough && this.underWay.size + this.othersUnderWay === 0)) {
      await new Promise<void>((resolve) => {
        this.changed = resolve;
      });
    }
    clearTimeout(timer);
    this.destroyAll();
  }
}
