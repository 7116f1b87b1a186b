/**
 * A client's connection while its requests are plain: heads that come whole and read in one way, with bodies that are held.
 * The first that is otherwise goes to Node's server together with the connection, unread, and so does all that follows.
 */
import type { Socket } from 'node:net';
import type { Caller } from './caller.js';
import { maxPlainHeadBytes, type PlainHead, readPlainHead } from './plain-head.js';
import { PlainRequest } from './plain-request.js';
import type { QuietSockets } from './quiet-sockets.js';
import { heldBytes } from './request-body.js';

export interface PlainPorts {
  /** Told to the client; {@link resting} are closed later than that. */
  readonly keepAliveSeconds: number;
  /** Those between two requests. */
  readonly resting: QuietSockets;
  /** Those that have not sent a byte, were told to leave, or are to send a body that nobody wants. */
  readonly awaited: QuietSockets;
  /** The server ends: answers are the last of their connections. */
  ends(): boolean;
  requestBegan(): void;
  requestEnded(): void;
  handle(caller: Caller): void;
  /** Node's server reads the connection from here on. */
  handOver(socket: Socket): void;
}

const headEnd = Buffer.from('\r\n\r\n');

export class PlainConnection {
  private request: PlainRequest | undefined;
  /** What came behind the request under way. While there is any, no more is read. */
  private left: Buffer | undefined;
  /** Of a body that nobody wants, what is still to come. */
  private unwanted = 0;
  /** Its last answer is out. */
  private leaving = false;
  private lastText = '';
  private lastHead: PlainHead | undefined;

  constructor(
    private readonly socket: Socket,
    private readonly ports: PlainPorts,
  ) {
    ports.awaited.add(socket);
    socket.on('data', this.take);
    socket.on('end', this.finished);
    socket.on('close', this.closed);
    socket.on('error', this.failed);
  }

  private readonly take = (bytes: Buffer): void => {
    if (this.leaving) return;
    if (this.request) this.hold(this.request.take(bytes));
    else if (this.unwanted > 0) this.skip(bytes);
    else this.begin(bytes);
  };

  /** What a client sends no more, it does not wait for either, as Node has it. */
  private readonly finished = (): void => {
    if (this.request) this.socket.destroy();
    else this.socket.end();
  };

  private readonly closed = (): void => {
    const { request } = this;
    this.quit();
    if (!request) return;
    this.request = undefined;
    this.ports.requestEnded();
    request.lost();
  };

  private readonly failed = (): void => {
    this.socket.destroy();
  };

  private begin(bytes: Buffer): void {
    const { ports, socket } = this;
    this.quit();
    const end = bytes.indexOf(headEnd);
    const head = end < 0 || end > maxPlainHeadBytes ? undefined : this.headOf(bytes.toString('latin1', 0, end));
    if (!head || head.length > heldBytes) {
      this.handOver(bytes);
      return;
    }
    const request: PlainRequest = new PlainRequest(head, socket, {
      keepAliveSeconds: ports.keepAliveSeconds,
      ends: ports.ends,
      over: (reusable) => this.over(request, reusable),
    });
    this.request = request;
    ports.requestBegan();
    this.hold(request.take(bytes.subarray(end + headEnd.length)));
    ports.handle(request);
  }

  /** Most clients send the same head again and again. */
  private headOf(text: string): PlainHead | undefined {
    if (text !== this.lastText) {
      this.lastText = text;
      this.lastHead = readPlainHead(text);
    }
    return this.lastHead;
  }

  private over(request: PlainRequest, reusable: boolean): void {
    if (this.request !== request) return;
    const { ports, socket } = this;
    this.request = undefined;
    ports.requestEnded();
    if (!reusable) {
      this.leaving = true;
      ports.awaited.add(socket);
      socket.end();
      socket.resume();
      return;
    }
    this.unwanted = request.missing;
    if (this.unwanted > 0) ports.awaited.add(socket);
    else this.rest();
  }

  private skip(bytes: Buffer): void {
    const own = Math.min(bytes.length, this.unwanted);
    this.unwanted -= own;
    if (this.unwanted > 0) return;
    this.ports.awaited.delete(this.socket);
    this.rest();
    this.hold(bytes.subarray(own));
  }

  private rest(): void {
    this.ports.resting.add(this.socket);
    if (this.left) this.goOn();
  }

  private hold(bytes: Buffer): void {
    if (bytes.length === 0) return;
    this.left = bytes;
    this.socket.pause();
    if (!this.request) this.goOn();
  }

  /** Not within the answer before: a client that sends many requests at once would deepen the stack with each. */
  private goOn(): void {
    setImmediate(() => {
      const { left, socket } = this;
      this.left = undefined;
      if (!left || socket.destroyed) return;
      this.begin(left);
      if (!this.left) socket.resume();
    });
  }

  private handOver(bytes: Buffer): void {
    const { socket, ports } = this;
    socket.off('data', this.take);
    socket.off('end', this.finished);
    socket.off('close', this.closed);
    socket.off('error', this.failed);
    socket.pause();
    socket.unshift(bytes);
    ports.handOver(socket);
    socket.resume();
  }

  private quit(): void {
    this.ports.awaited.delete(this.socket);
    this.ports.resting.delete(this.socket);
  }
}
