/**
 * Server-sent events (WHATWG HTML 9.2.6) from a byte stream, however it is cut. Comments keep the
 * connection alive and yield nothing. One event is at most a mebibyte.
 */
import { StringDecoder } from 'node:string_decoder';
import { AppError } from '#shared/kernel/errors.js';

export interface ServerSentEvent {
  /** `message` where the server names none. */
  readonly type: string;
  readonly data: string;
  readonly id: string;
}

const maxEventLength = 1024 * 1024;

export async function* readServerSentEvents(bytes: AsyncIterable<Uint8Array>): AsyncGenerator<ServerSentEvent> {
  const parser = new EventParser();
  for await (const piece of bytes) yield* parser.push(piece);
}

/** Takes bytes, gives the events that they complete. An event that was not ended by a blank line never is one. */
export class EventParser {
  private readonly decoder = new StringDecoder('utf8');
  private rest = '';
  private atStart = true;
  private type = '';
  private data: string[] = [];
  private length = 0;
  private id = '';

  push(bytes: Uint8Array): ServerSentEvent[] {
    this.rest += this.decoder.write(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength));
    if (this.atStart && this.rest !== '') {
      this.atStart = false;
      if (this.rest.startsWith('\uFEFF')) this.rest = this.rest.slice(1);
    }
    const events: ServerSentEvent[] = [];
    for (;;) {
      const end = this.rest.search(/[\r\n]/);
      // A carriage return at the very end may be the first half of CR LF.
      if (end < 0 || (this.rest[end] === '\r' && end === this.rest.length - 1)) break;
      const line = this.rest.slice(0, end);
      this.rest = this.rest.slice(end + (this.rest.startsWith('\r\n', end) ? 2 : 1));
      const event = this.takeLine(line);
      if (event) events.push(event);
    }
    if (this.rest.length + this.length > maxEventLength) {
      throw new AppError('message.too-large', 'a server-sent event is longer than 1 MiB');
    }
    return events;
  }

  private takeLine(line: string): ServerSentEvent | undefined {
    if (line === '') return this.dispatch();
    const colon = line.indexOf(':');
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '');
    if (field === 'data') {
      this.data.push(value);
      this.length += value.length;
    } else if (field === 'event') this.type = value;
    else if (field === 'id' && !value.includes('\0')) this.id = value;
    return undefined;
  }

  private dispatch(): ServerSentEvent | undefined {
    const event =
      this.data.length > 0
        ? { type: this.type === '' ? 'message' : this.type, data: this.data.join('\n'), id: this.id }
        : undefined;
    this.type = '';
    this.data = [];
    this.length = 0;
    return event;
  }
}
