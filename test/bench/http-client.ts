/**
 * As little HTTP as a load client needs: a request is bytes that were prepared, an answer its status and the
 * number of bytes that Content-Length promises. Node's own client costs more per request than the server does.
 */
import { connect, type Socket } from 'node:net';

const headEnd = Buffer.from('\r\n\r\n');
const readBytes = 64 * 1024;

export interface Answer {
  readonly status: number;
  /** Names in lower case; empty where bodies are not kept. */
  readonly head: string;
  readonly body: Buffer;
}

export interface ConnectionEvents {
  readonly answered: (answer: Answer) => void;
  readonly failed: (reason: string) => void;
}

/** One connection, one request at a time. It opens again by itself where the server closes. */
export class HttpConnection {
  private socket: Socket | undefined;
  private busy = false;
  private head: Buffer | undefined;
  private answer: { readonly status: number; readonly text: string; readonly closes: boolean } | undefined;
  private missing = 0;
  private body: Buffer[] = [];

  constructor(
    private readonly port: number,
    private readonly events: ConnectionEvents,
    private readonly keepBodies = false,
  ) {}

  send(request: Uint8Array): void {
    this.busy = true;
    this.socket ??= this.open();
    this.socket.write(request);
  }

  close(): void {
    this.busy = false;
    this.drop();
  }

  private open(): Socket {
    const buffer = Buffer.allocUnsafe(readBytes);
    const socket: Socket = connect({
      host: '127.0.0.1',
      port: this.port,
      noDelay: true,
      onread: {
        buffer,
        callback: (size) => {
          if (socket === this.socket) this.take(buffer.subarray(0, size));
          return true;
        },
      },
    });
    const gone = (reason: string): void => {
      if (socket !== this.socket) return;
      this.drop();
      if (this.busy) this.fail(reason);
    };
    socket.on('error', (error) => gone(error.message));
    socket.on('close', () => gone('closed without an answer'));
    return socket;
  }

  private take(chunk: Buffer): void {
    if (this.answer) {
      this.takeBody(chunk);
      return;
    }
    const data = this.head ? Buffer.concat([this.head, chunk]) : chunk;
    const end = data.indexOf(headEnd);
    if (end < 0) {
      this.head = Buffer.from(data);
      return;
    }
    this.head = undefined;
    const text = data.toString('latin1', 0, end);
    const length = /^content-length: *(\d+)/im.exec(text)?.[1];
    if (length === undefined) {
      this.drop();
      this.fail(`an answer without Content-Length: ${text.slice(0, 200)}`);
      return;
    }
    this.missing = Number(length);
    this.answer = { status: Number(text.slice(9, 12)), text, closes: /^connection: *close/im.test(text) };
    this.takeBody(data.subarray(end + headEnd.length));
  }

  private takeBody(chunk: Buffer): void {
    this.missing -= chunk.length;
    if (this.keepBodies) this.body.push(Buffer.from(chunk));
    if (this.missing > 0 || !this.answer) return;
    const { status, text, closes } = this.answer;
    this.answer = undefined;
    const body = this.keepBodies ? Buffer.concat(this.body.splice(0)) : Buffer.alloc(0);
    if (closes) this.drop();
    this.busy = false;
    this.events.answered({ status, head: this.keepBodies ? text.toLowerCase() : '', body });
  }

  private fail(reason: string): void {
    this.busy = false;
    this.events.failed(reason);
  }

  private drop(): void {
    const socket = this.socket;
    this.socket = undefined;
    this.head = undefined;
    this.answer = undefined;
    this.body = [];
    socket?.destroy();
  }
}

/** The bytes of a POST on a connection that stays open. */
export function postRequest(path: string, headers: Readonly<Record<string, string>>, body: Uint8Array): Buffer {
  const lines = Object.entries({ host: '127.0.0.1', ...headers, 'content-length': String(body.length) });
  const head = `POST ${path} HTTP/1.1\r\n${lines.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`;
  return Buffer.concat([Buffer.from(head), body]);
}

/** One request on a connection of its own. */
export function ask(port: number, request: Uint8Array): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const connection = new HttpConnection(
      port,
      {
        answered: (answer) => {
          connection.close();
          resolve(answer);
        },
        failed: (reason) => reject(new Error(reason)),
      },
      true,
    );
    connection.send(request);
  });
}
