/** HTTP with a container engine over its Unix socket: bounded answers, patience, and failures that say what to do. */
import { type ClientRequest, type IncomingMessage, request } from 'node:http';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type * as z from 'zod';
import { AppError, messageOf } from '#shared/kernel/errors.js';
import { errno } from '#shared/platform/atomic-file.js';
import { decodeMessage } from '#shared/protocol/decode.js';
import { refusalSchema } from './engine-answers.js';

export interface EngineCall {
  readonly method: 'GET' | 'POST' | 'DELETE';
  /** With its version and query. */
  readonly path: string;
  /** For people: `start a container`. */
  readonly what: string;
  readonly json?: unknown;
  /** A tar. */
  readonly stream?: Readable;
  /** Without an answer, or a piece of it, for so long it has failed; absent: 60 seconds. 0: it may take for ever. */
  readonly patienceMs?: number;
  readonly signal?: AbortSignal;
}

const usualPatienceMs = 60_000;
const maxAnswerBytes = 16 * 1024 * 1024;

export class EngineHttp {
  constructor(readonly socket: string) {}

  /** @throws AppError `engine.unreachable`, `engine.refused`, `image.not-found`, `disk.full`, `request.aborted` */
  async ask<S extends z.ZodType>(call: EngineCall, schema: S): Promise<z.output<S>> {
    const bytes = await this.text(call);
    const decoded = decodeMessage(schema, bytes, maxAnswerBytes);
    if (decoded.ok) return decoded.value;
    throw new AppError(
      'engine.refused',
      `the container engine answers in a way that is not understood when asked to ${call.what}: ${decoded.error.message}`,
    );
  }

  /** Of an answer that is no JSON, or not looked at. */
  async text(call: EngineCall): Promise<Buffer> {
    const answer = await this.open(call);
    try {
      return await readAll(answer, maxAnswerBytes);
    } catch (error) {
      throw this.failure(call, error);
    }
  }

  /** @returns a successful answer whose body the caller reads or destroys */
  async open(call: EngineCall): Promise<IncomingMessage> {
    let answer: IncomingMessage;
    try {
      answer = await this.send(call);
    } catch (error) {
      throw this.failure(call, error);
    }
    const { statusCode = 0 } = answer;
    if ((statusCode >= 200 && statusCode < 300) || statusCode === 304) return answer;
    const bytes = await readAll(answer, 64 * 1024).catch(() => Buffer.alloc(0));
    throw refusalOf(call.what, statusCode, bytes);
  }

  private send(call: EngineCall): Promise<IncomingMessage> {
    const { method, path, json, stream, signal, patienceMs = usualPatienceMs } = call;
    return new Promise((resolve, reject) => {
      const body = json === undefined ? undefined : Buffer.from(JSON.stringify(json));
      const headers = {
        host: 'engine',
        ...(body === undefined ? {} : { 'content-type': 'application/json', 'content-length': body.length }),
        ...(stream === undefined ? {} : { 'content-type': 'application/x-tar' }),
      };
      const options = { socketPath: this.socket, method, path, headers, agent: false, ...(signal && { signal }) };
      const asked: ClientRequest = request(options, resolve);
      if (patienceMs > 0) {
        asked.setTimeout(patienceMs, () =>
          asked.destroy(new Error(`nothing was heard for ${String(patienceMs / 1000)} s`)),
        );
      }
      asked.on('error', reject);
      if (stream === undefined) asked.end(body);
      // What it refuses is told by its answer, which may come before all was sent.
      else pipeline(stream, asked).catch((error: unknown) => (asked.destroyed ? undefined : reject(asError(error))));
    });
  }

  private failure(call: EngineCall, error: unknown): AppError {
    if (error instanceof AppError) return error;
    if (call.signal?.aborted === true) return new AppError('request.aborted', `given up: ${call.what}`);
    const advice = adviceOf(errno(error), this.socket);
    return new AppError(
      'engine.unreachable',
      `the container engine cannot be asked to ${call.what}: ${advice ?? `${messageOf(error)} (${this.socket})`}`,
      { cause: error },
    );
  }
}

function adviceOf(code: string | undefined, socket: string): string | undefined {
  const start = 'start Docker Engine or "podman system service"';
  if (code === 'ENOENT') return `there is no socket ${socket}: ${start}, or name another socket`;
  if (code === 'ECONNREFUSED') return `nobody listens on ${socket}: ${start}`;
  if (code !== 'EACCES' && code !== 'EPERM') return undefined;
  return `this user may not open ${socket}: add it to the socket's group (for Docker Engine: docker), which gives it the rights of root`;
}

export function refusalOf(what: string, status: number, bytes: Uint8Array): AppError {
  const decoded = decodeMessage(refusalSchema, bytes);
  const why = decoded.ok ? decoded.value.message.slice(0, 2000) : `status ${String(status)}`;
  const details = { status };
  if (/no space left|disk quota exceeded/i.test(why)) {
    return new AppError('disk.full', `the container engine has no space left to ${what}: ${why}`, { details });
  }
  if (/operation not permitted|permission denied/i.test(why)) {
    return new AppError(
      'engine.refused',
      `the container engine may not ${what} as it was asked to: ${why}. An engine within a container, or without all rights, needs limits in its own settings that it may set (podman: default_ulimits and cgroup_manager in containers.conf)`,
      { details },
    );
  }
  const code = status === 404 && /image/i.test(why) ? 'image.not-found' : 'engine.refused';
  return new AppError(code, `the container engine refuses to ${what}: ${why}`, { details });
}

async function readAll(stream: Readable, maxBytes: number): Promise<Buffer> {
  const pieces: Buffer[] = [];
  let size = 0;
  for await (const piece of stream as AsyncIterable<Buffer>) {
    size += piece.length;
    if (size > maxBytes) throw new Error(`its answer has more than ${String(maxBytes)} bytes`);
    pieces.push(piece);
  }
  return Buffer.concat(pieces);
}

function asError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(messageOf(thrown));
}
