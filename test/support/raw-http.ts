/**
 * HTTP as bytes on a socket: sends what no client library would, and reads what comes back as strictly as
 * a client must.
 */
import { connect } from 'node:net';

export interface RawResponse {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
}

export interface RawOutcome {
  readonly received: Buffer;
  /** The server closed the connection in time. */
  readonly closed: boolean;
}

export interface RawSending {
  readonly chunks: readonly Buffer[];
  /** Between chunks. */
  readonly pauseMs?: number;
  /** Goes away once all is sent, without waiting for an answer. */
  readonly disconnect?: boolean;
}

/** How long the other side stays silent before we say that no more will come from us. */
const quietMs = 100;

/** @param patienceMs after which an open connection counts as one that hangs */
export function sendRaw(port: number, sending: RawSending, patienceMs: number): Promise<RawOutcome> {
  return new Promise((resolve) => {
    const received: Buffer[] = [];
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    let quiet: NodeJS.Timeout | undefined;
    const patience = setTimeout(() => finish(false), patienceMs);
    const finish = (closed: boolean): void => {
      clearTimeout(patience);
      clearTimeout(quiet);
      socket.destroy();
      resolve({ received: Buffer.concat(received), closed });
    };
    const endSoon = (): void => {
      clearTimeout(quiet);
      quiet = setTimeout(() => socket.end(), quietMs);
    };
    socket.setNoDelay(true);
    socket.on('data', (chunk: Buffer) => {
      received.push(chunk);
      if (quiet) endSoon();
    });
    socket.on('end', () => finish(true));
    socket.on('close', () => finish(true));
    // A reset is an end like another; `close` follows.
    socket.on('error', () => undefined);
    socket.on('connect', () => {
      void writeAll(socket.write.bind(socket), sending).then(() => {
        if (sending.disconnect) finish(true);
        else endSoon();
      });
    });
  });
}

async function writeAll(write: (chunk: Buffer) => boolean, { chunks, pauseMs }: RawSending): Promise<void> {
  for (const [index, chunk] of chunks.entries()) {
    if (index > 0 && pauseMs !== undefined) await new Promise((resolve) => setTimeout(resolve, pauseMs));
    write(chunk);
  }
}

/**
 * The responses in the bytes, one after another.
 *
 * @throws Error for anything that is not exactly a series of complete responses
 */
export function readResponses(bytes: Buffer): RawResponse[] {
  const responses: RawResponse[] = [];
  let at = 0;
  while (at < bytes.length) {
    const headEnd = bytes.indexOf('\r\n\r\n', at);
    if (headEnd < 0) throw new Error(`no end of a head after ${show(bytes.subarray(at))}`);
    const [statusLine = '', ...fields] = bytes.subarray(at, headEnd).toString('latin1').split('\r\n');
    const status = /^HTTP\/1\.1 (\d{3}) [\x20-\x7e]*$/.exec(statusLine)?.[1];
    if (status === undefined) throw new Error(`not a status line: ${show(bytes.subarray(at))}`);
    const headers: Record<string, string> = {};
    for (const field of fields) {
      const [, name, value] = /^([!#$%&'*+.^_`|~0-9a-zA-Z-]+): ?(.*)$/.exec(field) ?? [];
      if (name === undefined || value === undefined) throw new Error(`not a header field: ${field}`);
      headers[name.toLowerCase()] = value;
    }
    const { body, end } = readBody(bytes, headEnd + 4, Number(status), headers);
    responses.push({ status: Number(status), headers, body });
    at = end;
  }
  return responses;
}

function readBody(
  bytes: Buffer,
  start: number,
  status: number,
  headers: Readonly<Record<string, string>>,
): { readonly body: Buffer; readonly end: number } {
  if (status < 200 || status === 204 || status === 304) return { body: Buffer.alloc(0), end: start };
  if (headers['transfer-encoding'] === 'chunked') return readChunks(bytes, start);
  const declared = headers['content-length'];
  // Without a length the body reaches to the end of the connection; our servers do so in no answer but an empty one.
  const end = declared === undefined ? bytes.length : start + Number(declared);
  if (!(end <= bytes.length)) throw new Error(`a body of ${String(declared)} bytes is cut short`);
  return { body: bytes.subarray(start, end), end };
}

function readChunks(bytes: Buffer, start: number): { readonly body: Buffer; readonly end: number } {
  const parts: Buffer[] = [];
  let at = start;
  for (;;) {
    const lineEnd = bytes.indexOf('\r\n', at);
    const size = lineEnd < 0 ? NaN : Number.parseInt(bytes.subarray(at, lineEnd).toString('latin1'), 16);
    const end = lineEnd + 2 + size;
    if (!(end + 2 <= bytes.length)) throw new Error('a chunk is cut short');
    parts.push(bytes.subarray(lineEnd + 2, end));
    at = end + 2;
    if (size === 0) return { body: Buffer.concat(parts), end: at };
  }
}

function show(bytes: Buffer): string {
  return JSON.stringify(bytes.subarray(0, 200).toString('latin1'));
}
