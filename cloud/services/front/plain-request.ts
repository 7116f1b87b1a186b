/** A request whose plain head was read here, and its answer, which is one write where it comes in one piece. */
import { STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import type { AppError } from '#shared/kernel/errors.js';
import { type BodyPace, paceLeftMs, tooSlowly } from '#shared/scoring/body-pace.js';
import { aborted } from '#shared/scoring/body-reader.js';
import type { BodyStart, Caller } from './caller.js';
import type { PlainHead } from './plain-head.js';
import { printable } from './refusal.js';
import type { BodyRest } from './replica-call.js';

export interface PlainRequestPorts {
  /** Announced to the client. */
  readonly keepAliveSeconds: number;
  /** The server ends: the answer is the last. */
  ends(): boolean;
  /** The answer has been handed to the socket, whole, or was broken off. @param reusable another request may follow */
  over(reusable: boolean): void;
}

/** Below it head and body are one write of one buffer: two, joined by the kernel, cost more. */
const joinedBytes = 16 * 1024;
const empty = Buffer.alloc(0);

export class PlainRequest implements Caller {
  begun = false;
  /** Of the body, what has not come. */
  missing: number;
  private body: Buffer = empty;
  private head = '';
  private chunked = false;
  private keepsAlive: boolean;
  private over = false;
  private left: (() => void) | undefined;
  private read: ((start: BodyStart) => void) | undefined;
  private failed: (error: AppError) => void = () => undefined;
  private timer: NodeJS.Timeout | undefined;

  constructor(
    private readonly plain: PlainHead,
    private readonly socket: Socket,
    private readonly ports: PlainRequestPorts,
  ) {
    this.missing = plain.length;
    this.keepsAlive = plain.keepsAlive;
  }

  get method(): string {
    return this.plain.method;
  }

  get url(): string {
    return this.plain.url;
  }

  get headers(): PlainHead['headers'] {
    return this.plain.headers;
  }

  get rawHeaders(): readonly string[] {
    return this.plain.rawHeaders;
  }

  get declaredLength(): number {
    return this.plain.length;
  }

  /** Of the body. @returns what of the bytes is not of it */
  take(bytes: Buffer): Buffer {
    const own = bytes.length > this.missing ? bytes.subarray(0, this.missing) : bytes;
    const at = this.plain.length - this.missing;
    this.missing -= own.length;
    if (!this.over) this.keep(own, at);
    if (this.missing === 0) this.complete();
    return bytes.subarray(own.length);
  }

  /** The connection is lost. */
  lost(): void {
    if (this.over) return;
    this.over = true;
    clearTimeout(this.timer);
    const { read, failed, left } = this;
    this.read = undefined;
    if (read) failed(aborted());
    left?.();
  }

  onLeft(left: () => void): void {
    this.left = left;
  }

  goAhead(): void {
    // Those who ask first are not plain.
  }

  readStart(pace: BodyPace, read: (start: BodyStart) => void, failed: (error: AppError) => void): void {
    if (this.missing === 0) {
      read({ bytes: this.body, whole: true });
      return;
    }
    this.read = read;
    this.failed = failed;
    this.watch(pace, this.missing, pace.graceMs, 0);
  }

  restOfBody(): BodyRest {
    throw new Error('a plain request is whole before it is asked for');
  }

  closeAfter(): void {
    this.keepsAlive = false;
  }

  begin(status: number, fields: string[], streams: boolean): void {
    if (this.over) return;
    this.begun = true;
    if (this.ports.ends()) this.keepsAlive = false;
    let head = `HTTP/1.1 ${String(status)} ${STATUS_CODES[status] ?? 'Unknown'}\r\n`;
    for (let index = 0; index < fields.length; index += 2) {
      head += `${fields[index] ?? ''}: ${printable(fields[index + 1] ?? '')}\r\n`;
    }
    this.chunked = streams;
    if (streams) head += 'transfer-encoding: chunked\r\n';
    head += `date: ${dateNow()}\r\n`;
    head += this.keepsAlive
      ? `connection: keep-alive\r\nkeep-alive: timeout=${String(this.ports.keepAliveSeconds)}\r\n\r\n`
      : 'connection: close\r\n\r\n';
    this.head = head;
    if (streams) this.send(empty);
  }

  write(chunk: Buffer, drained: () => void): boolean {
    if (this.over || this.send(chunk)) return true;
    this.socket.once('drain', drained);
    return false;
  }

  end(last: Buffer = empty): void {
    if (this.over) return;
    this.over = true;
    clearTimeout(this.timer);
    this.send(last, true);
    this.ports.over(this.keepsAlive);
  }

  abort(): void {
    if (this.over) return;
    this.over = true;
    clearTimeout(this.timer);
    this.ports.over(false);
    this.socket.destroy();
  }

  private keep(own: Buffer, at: number): void {
    if (own.length === this.plain.length) this.body = own;
    else {
      if (this.body === empty) this.body = Buffer.allocUnsafe(this.plain.length);
      own.copy(this.body, at);
    }
  }

  private complete(): void {
    clearTimeout(this.timer);
    const { read } = this;
    this.read = undefined;
    read?.({ bytes: this.body, whole: true });
  }

  private watch(pace: BodyPace, missingBefore: number, waitMs: number, elapsedMs: number): void {
    this.timer = setTimeout(() => {
      const elapsed = elapsedMs + waitMs;
      const leftMs = Math.ceil(paceLeftMs(pace, elapsed, missingBefore - this.missing));
      if (leftMs > 0) this.watch(pace, missingBefore, leftMs, elapsed);
      else {
        this.read = undefined;
        this.failed(tooSlowly(pace));
      }
    }, waitMs);
  }

  private send(body: Buffer, last = false): boolean {
    const { socket, head } = this;
    this.head = '';
    const before = this.chunked && body.length > 0 ? `${head}${body.length.toString(16)}\r\n` : head;
    const after = this.chunked ? `${body.length > 0 ? '\r\n' : ''}${last ? '0\r\n\r\n' : ''}` : '';
    const total = before.length + body.length + after.length;
    if (total <= joinedBytes) {
      if (total === 0) return true;
      const bytes = Buffer.allocUnsafe(total);
      bytes.write(before, 0, 'latin1');
      body.copy(bytes, before.length);
      if (after !== '') bytes.write(after, before.length + body.length, 'latin1');
      return socket.write(bytes);
    }
    socket.cork();
    if (before !== '') socket.write(before, 'latin1');
    const more = socket.write(body);
    const all = after === '' ? more : socket.write(after, 'latin1');
    socket.uncork();
    return all;
  }
}

let date = '';
let dateSecond = 0;

function dateNow(): string {
  const second = Math.floor(Date.now() / 1000);
  if (second !== dateSecond) {
    dateSecond = second;
    date = new Date(second * 1000).toUTCString();
  }
  return date;
}
