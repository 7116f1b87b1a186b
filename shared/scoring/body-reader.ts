/**
 * Reads request bodies into memory, each once, into a buffer that is handed to a worker without a copy.
 * Invariants: no body is larger than the limit; all bodies in memory together stay within the budget,
 * so that a crowd of large requests is turned away instead of ending the process; small bodies have a
 * budget of their own, so that the same crowd does not turn them away too; a body that comes too slowly
 * is given up.
 */
import type { IncomingMessage } from 'node:http';
import { AppError } from '#shared/kernel/errors.js';
import { BufferPool } from './buffer-pool.js';
import { type BodyPace, tooSlow, watchPace } from './body-pace.js';

export interface Body {
  readonly buffer: ArrayBuffer;
  /** Where the body begins: tensors after a JSON header then lie on addresses that need no copy. */
  readonly start: number;
  readonly length: number;
}

/** The largest element of any tensor. */
const alignment = 8;

const smallBytes = 64 * 1024;
const smallBudgetBytes = 32 * 1024 * 1024;

export class BodyReader {
  private readonly held = { small: 0, large: 0 };
  private readonly budgetBytes: number;
  /** Of large bodies: workers give back what they were sent. */
  readonly buffers = new BufferPool({ maxBytes: 64 * 1024 * 1024, idleMs: 10_000 });

  constructor(
    private readonly maxBodyBytes: number,
    private readonly pace?: BodyPace,
  ) {
    this.budgetBytes = Math.max(4 * maxBodyBytes, 64 * 1024 * 1024);
  }

  /**
   * Reads the body, and holds its share of the budget until `use` has ended.
   *
   * @param jsonLength length of the JSON before the first tensor
   * @throws AppError `request.too-large`, `request.aborted`, `request.timeout`, `score.overloaded`
   */
  async withBody<T>(request: IncomingMessage, jsonLength: number, use: (body: Body) => Promise<T>): Promise<T> {
    const declared = declaredLength(request);
    if (declared !== undefined && declared > this.maxBodyBytes) throw tooLarge(this.maxBodyBytes);
    return this.withLength(declared ?? this.maxBodyBytes, async () => {
      const unwatch = watchPace(request, this.pace);
      let body: Body;
      try {
        const start = (alignment - (jsonLength % alignment)) % alignment;
        body =
          declared === undefined
            ? await this.readUnknown(request, start)
            : await readDeclared(request, start, declared, this.buffers);
      } finally {
        unwatch();
      }
      return use(body);
    });
  }

  /**
   * Holds the share of a body of that length, however it comes, until `use` has ended.
   *
   * @throws AppError `score.overloaded`
   */
  async withLength<T>(length: number, use: () => Promise<T>): Promise<T> {
    const kind = length <= smallBytes ? 'small' : 'large';
    if (this.held[kind] + length > (kind === 'small' ? smallBudgetBytes : this.budgetBytes)) {
      throw new AppError('score.overloaded', `too many ${kind} requests at once: try again shortly`);
    }
    this.held[kind] += length;
    try {
      return await use();
    } finally {
      this.held[kind] -= length;
    }
  }

  private async readUnknown(request: IncomingMessage, start: number): Promise<Body> {
    const chunks: Buffer[] = [];
    let length = 0;
    await consume(request, (chunk) => {
      length += chunk.length;
      if (length > this.maxBodyBytes) return tooLarge(this.maxBodyBytes);
      chunks.push(chunk);
      return undefined;
    });
    const bytes = new Uint8Array(start + length);
    let at = start;
    for (const chunk of chunks) {
      bytes.set(chunk, at);
      at += chunk.length;
    }
    return { buffer: bytes.buffer, start, length };
  }
}

async function readDeclared(
  request: IncomingMessage,
  start: number,
  length: number,
  buffers: BufferPool,
): Promise<Body> {
  let bytes: Uint8Array<ArrayBuffer> | undefined;
  let whole: Buffer | undefined;
  let at = start;
  await consume(request, (chunk) => {
    if (at === start && chunk.length === length && ownsItsMemory(chunk)) whole = chunk;
    else {
      bytes ??= new Uint8Array(buffers.take(start + length));
      bytes.set(chunk, at);
    }
    at += chunk.length;
    return undefined;
  });
  if (whole) return { buffer: whole.buffer as ArrayBuffer, start: whole.byteOffset, length };
  return { buffer: (bytes ?? new Uint8Array(start + length)).buffer, start, length };
}

/** A small body comes in one piece that Node made for it alone: then it is taken as it is. */
function ownsItsMemory(chunk: Buffer): boolean {
  return chunk.length <= smallBytes && chunk.byteOffset === 0 && chunk.buffer.byteLength === chunk.length;
}

/** Resolves at the end of the body; `take` may refuse a chunk with an error. */
function consume(request: IncomingMessage, take: (chunk: Buffer) => AppError | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = (error: AppError): void => {
      request.off('data', onData);
      // What still comes is thrown away, so that the client can read our answer.
      request.resume();
      reject(error);
    };
    const onData = (chunk: Buffer): void => {
      const error = take(chunk);
      if (error) stop(error);
    };
    const onEnd = (): void => (request.complete ? resolve() : stop(aborted()));
    if (request.readableEnded) {
      onEnd();
      return;
    }
    request.on('data', onData);
    request.once('end', onEnd);
    request.once('error', () => stop(aborted()));
    request.once(tooSlow, stop);
    request.once('close', () => {
      if (!request.complete) stop(aborted());
    });
  });
}

function declaredLength(request: IncomingMessage): number | undefined {
  const header = request.headers['content-length'];
  if (header !== undefined) return Number(header);
  return request.headers['transfer-encoding'] === undefined ? 0 : undefined;
}

export function tooLarge(maxBodyBytes: number): AppError {
  return new AppError(
    'request.too-large',
    `the body is larger than ${String(maxBodyBytes)} bytes: send fewer rows per request, or binary tensors`,
    { details: { maxBodyBytes } },
  );
}

export function aborted(): AppError {
  return new AppError('request.aborted', 'the client closed the connection before the body was complete');
}
