/** One scoring request to a module's one model: from the request as Node has it to the bytes of its answer. */
import type { IncomingMessage } from 'node:http';
import { AppError } from '#shared/kernel/errors.js';
import type { Body } from '../body-reader.js';
import { jsonLengthOf } from '../codec/json-length.js';
import { readHeaderHints, readRequestHints } from '../codec/request-hints.js';
import type { RequestOrigin } from '../traffic/request-origin.js';
import type { HostAnswer } from '../traffic/traffic-control.js';
import type { BodyForm } from '../worker/worker-protocol.js';
import type { Face } from './faults.js';
import type { LoadedHostedModule } from './hosted-module.js';
import type { ScoringHost } from './scoring-host.js';

export interface ModelQuestion {
  readonly module: LoadedHostedModule;
  readonly face: Face;
  readonly message: IncomingMessage;
  readonly origin: RequestOrigin;
  /** Instant of the monotonic clock at which the request was at hand. */
  readonly startedMs: number;
  /** What to answer instead of the body: JSON that was made of the query. */
  readonly query?: string | undefined;
}

export const forms: Readonly<Record<Face, BodyForm>> = { v2: 'infer', v1: 'predict', score: 'score' };

/** What clients of the protocol send for JSON and for binary tensors; tritonclient sends none at all. */
const tensorTypes = /^(?:application\/(?:json|octet-stream|[a-z0-9.+-]+\+json)|text\/json)(?:\s*;|$)/i;

/** @throws AppError what is wrong with the request, or went wrong with its run */
export async function scoreByModel(host: ScoringHost, question: ModelQuestion): Promise<HostAnswer> {
  const { face, message, module, query } = question;
  const asked = readHeaderHints(message.headers);
  if (query !== undefined) {
    const { buffer, byteLength } = new TextEncoder().encode(query);
    return run(host, question, { buffer, start: 0, length: byteLength }, undefined, asked.priority, asked.timeoutMs);
  }
  const type = message.headers['content-type'];
  if (type !== undefined && type !== 'application/json' && !tensorTypes.test(type)) throw unsupportedType(type);
  const jsonLength = face === 'v1' ? undefined : jsonLengthOf(message.headers);
  module.admit(Number(message.headers['content-length'] ?? 0));
  return host.bodies.withBody(message, jsonLength ?? 0, (body) => {
    if (face === 'v1') return run(host, question, body, jsonLength, asked.priority, asked.timeoutMs);
    const { priority = asked.priority, timeoutMs = asked.timeoutMs } = readRequestHints(jsonOf(body, jsonLength));
    return run(host, question, body, jsonLength, priority, timeoutMs);
  });
}

/** Compressed bytes would be read as if they were the tensors: whoever packs a body must hear that we do not unpack. */
export function refuseEncoded({ headers }: IncomingMessage): void {
  const encoding = headers['content-encoding'];
  if (encoding === undefined || encoding.toLowerCase() === 'identity') return;
  throw new AppError(
    'request.unsupported-type',
    `content encoding "${encoding}" is not served: send the body uncompressed, without Content-Encoding`,
  );
}

function run(
  host: ScoringHost,
  { module, face, message, origin, startedMs }: ModelQuestion,
  body: Body,
  jsonLength: number | undefined,
  priority: number | undefined,
  timeoutMs: number | undefined,
): Promise<HostAnswer> {
  return host.answer(module, {
    form: forms[face],
    body,
    jsonLength,
    abandoned: () => message.socket.destroyed,
    origin,
    ...(priority === undefined ? {} : { priority }),
    ...(timeoutMs === undefined ? {} : { deadlineMs: startedMs + timeoutMs }),
  });
}

function jsonOf({ buffer, start, length }: Body, jsonLength: number | undefined): Uint8Array {
  return new Uint8Array(buffer, start, Math.min(jsonLength ?? length, length));
}

function unsupportedType(type: string): AppError {
  return new AppError(
    'request.unsupported-type',
    `content type "${type}" is not served: send application/json, or application/octet-stream with Inference-Header-Content-Length`,
  );
}
