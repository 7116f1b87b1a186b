/**
 * The body of a client's request: its beginning is held, so that no replica waits for a slow client and a request can be
 * sent once more; what is larger flows on from there, no faster than the replica takes it.
 */
import type { IncomingMessage } from 'node:http';
import type { AppError } from '#shared/kernel/errors.js';
import { type BodyPace, tooSlow, watchPace } from '#shared/scoring/body-pace.js';
import { aborted, tooLarge } from '#shared/scoring/body-reader.js';
import type { BodyStart, RestOptions } from './caller.js';
import type { BodyRest } from './replica-call.js';

/** What is held of a body. A whole one of this size can be sent again. */
export const heldBytes = 64 * 1024;

export interface BodyLimits {
  readonly maxBodyBytes: number;
  readonly pace: BodyPace;
}

const empty = Buffer.alloc(0);

/** The length that the client declares; undefined: none, it comes in chunks. */
export function declaredLength({ headers }: IncomingMessage): number | undefined {
  const length = headers['content-length'];
  if (length !== undefined) return Number(length);
  return headers['transfer-encoding'] === undefined ? 0 : undefined;
}

/**
 * Reads the beginning; what is beyond stays where it is. One of the two is called, once.
 *
 * @param failed `request.aborted`, `request.timeout`
 */
export function readStart(
  request: IncomingMessage,
  pace: BodyPace,
  read: (start: BodyStart) => void,
  failed: (error: AppError) => void,
): void {
  if (declaredLength(request) === 0) {
    request.resume();
    read({ bytes: empty, whole: true });
    return;
  }
  const chunks: Buffer[] = [];
  let length = 0;
  const unwatch = watchPace(request, pace);
  const stop = (): void => {
    unwatch();
    request.off('data', onData);
    request.off('end', onEnd);
    request.off('close', onClose);
    request.off(tooSlow, onSlow);
  };
  const joined = (): Buffer => (chunks.length === 1 ? (chunks[0] ?? empty) : Buffer.concat(chunks));
  const onData = (chunk: Buffer): void => {
    chunks.push(chunk);
    length += chunk.length;
    if (length <= heldBytes) return;
    request.pause();
    stop();
    read({ bytes: joined(), whole: false });
  };
  const onEnd = (): void => {
    stop();
    read({ bytes: joined(), whole: true });
  };
  const onClose = (): void => {
    stop();
    failed(aborted());
  };
  const onSlow = (error: AppError): void => {
    stop();
    request.resume();
    failed(error);
  };
  request.on('data', onData);
  request.once('end', onEnd);
  request.once('close', onClose);
  request.once(tooSlow, onSlow);
}

/** What follows {@link readStart}. */
export class FlowingBody implements BodyRest {
  ended = false;
  private length: number;
  private write: ((bytes: Buffer | string) => boolean) | undefined;
  private finish: () => void = () => undefined;

  constructor(
    private readonly request: IncomingMessage,
    private readonly options: RestOptions,
  ) {
    this.length = options.before;
  }

  start(write: (bytes: Buffer | string) => boolean, finish: () => void): void {
    this.write = write;
    this.finish = finish;
    this.request.on('data', this.onData);
    this.request.once('end', this.onEnd);
    this.request.resume();
  }

  resume(): void {
    if (this.write) this.request.resume();
  }

  /** What still comes is thrown away, so that the client can read our answer. */
  stop(): void {
    this.write = undefined;
    this.request.off('data', this.onData);
    this.request.off('end', this.onEnd);
    this.request.resume();
  }

  private readonly onData = (chunk: Buffer): void => {
    const { write, options } = this;
    this.length += chunk.length;
    if (this.length > options.maxBodyBytes) {
      this.stop();
      options.failed(tooLarge(options.maxBodyBytes));
      return;
    }
    options.seen(chunk);
    if (write && !this.pass(write, chunk)) this.request.pause();
  };

  private readonly onEnd = (): void => {
    this.ended = true;
    if (this.options.chunked) this.write?.('0\r\n\r\n');
    this.finish();
  };

  private pass(write: (bytes: Buffer | string) => boolean, chunk: Buffer): boolean {
    return this.options.chunked ? writeChunk(write, chunk) : write(chunk);
  }
}

function writeChunk(write: (bytes: Buffer | string) => boolean, chunk: Buffer): boolean {
  write(`${chunk.length.toString(16)}\r\n`);
  write(chunk);
  return write('\r\n');
}

/** The beginning as the first chunk of a body that comes in chunks. */
export function asChunk(bytes: Buffer): Buffer {
  return Buffer.concat([Buffer.from(`${bytes.length.toString(16)}\r\n`), bytes, Buffer.from('\r\n')]);
}
