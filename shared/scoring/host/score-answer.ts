/** Answers one scoring request on any face, counts it, and says on the answer what it came from. */
import type { IncomingMessage } from 'node:http';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { AppError, type ErrorCode, toProblem } from '#shared/kernel/errors.js';
import type { HostAnswer } from '../traffic/traffic-control.js';
import { originOf } from '../traffic/request-origin.js';
import { jsonLengthHeader, jsonLengthOf } from '../codec/json-length.js';
import { readHeaderHints, readRequestHints, type RequestHints } from '../codec/request-hints.js';
import type { Body } from '../body-reader.js';
import type { BodyForm } from '../worker/worker-protocol.js';
import type { Face } from './faults.js';
import { forwardToScript } from './forward-to-script.js';
import type { LoadedHostedModule } from './hosted-module.js';
import type { ScoringHost } from './scoring-host.js';

export interface Scored {
  readonly host: ScoringHost;
  readonly module: LoadedHostedModule;
  readonly face: Face;
  readonly request: FastifyRequest;
  readonly reply: FastifyReply;
  /** Instant of the monotonic clock at which the request was at hand. */
  readonly startedMs: number;
  /** What to answer instead of the request's body: JSON that was made of its query. */
  readonly query: string | undefined;
}

/** What clients of the protocol send for JSON and for binary tensors; tritonclient sends none at all. */
const tensorTypes = /^(?:application\/(?:json|octet-stream|[a-z0-9.+-]+\+json)|text\/json)(?:\s*;|$)/i;

export const forms: Readonly<Record<Face, BodyForm>> = { v2: 'infer', v1: 'predict', score: 'score' };

export async function answerScore(
  host: ScoringHost,
  module: LoadedHostedModule,
  face: Face,
  request: FastifyRequest,
  reply: FastifyReply,
  query?: string,
): Promise<void> {
  const startedMs = host.clock.monotonic();
  void reply.headers(host.provenance(module)).header('x-request-id', request.id);
  const scored: Scored = { host, module, face, request, reply, startedMs, query };
  try {
    refuseEncoded(request);
    const failure: ErrorCode | undefined = module.script ? await forwardToScript(scored) : await scoreByModel(scored);
    const latencyMs = host.clock.monotonic() - startedMs;
    if (failure === undefined) module.succeeded(latencyMs, host.clock.now());
    else module.failed(latencyMs, failure);
  } catch (error) {
    module.failed(host.clock.monotonic() - startedMs, toProblem(error).code);
    throw error;
  }
}

/** Compressed bytes would be read as if they were the tensors: whoever packs a body must hear that we do not unpack. */
function refuseEncoded({ headers }: FastifyRequest): void {
  const encoding = headers['content-encoding'];
  if (encoding === undefined || encoding.toLowerCase() === 'identity') return;
  throw new AppError(
    'request.unsupported-type',
    `content encoding "${encoding}" is not served: send the body uncompressed, without Content-Encoding`,
  );
}

async function scoreByModel(scored: Scored): Promise<undefined> {
  const { host, face, request, reply, query, startedMs } = scored;
  const asked = readHeaderHints(request.headers);
  let answer: HostAnswer;
  if (query === undefined) {
    const type = request.headers['content-type'];
    if (type !== undefined && !tensorTypes.test(type)) throw unsupportedType(type);
    const jsonLength = face === 'v1' ? undefined : jsonLengthOf(request.headers);
    answer = await host.bodies.withBody(request.raw, jsonLength ?? 0, (body) => {
      const hints = face === 'v1' ? asked : { ...asked, ...readRequestHints(jsonOf(body, jsonLength)) };
      return run(scored, body, jsonLength, hints);
    });
  } else {
    const { buffer, byteLength } = new TextEncoder().encode(query);
    answer = await run(scored, { buffer, start: 0, length: byteLength }, undefined, asked);
  }
  if (answer.cache) void reply.header('flotilla-cache', answer.cache);
  if (answer.jsonLength === undefined) void reply.header('content-type', 'application/json');
  else {
    void reply.header('content-type', 'application/octet-stream').header(jsonLengthHeader, String(answer.jsonLength));
  }
  if (face === 'score') {
    void reply.header('x-ms-run-fn-exec-ms', (host.clock.monotonic() - startedMs).toFixed(3));
  }
  const { buffer, byteOffset, byteLength } = answer.body;
  reply.send(Buffer.from(buffer, byteOffset, byteLength));
  return undefined;
}

function run(
  { host, module, face, request, startedMs }: Scored,
  body: Body,
  jsonLength: number | undefined,
  { priority, timeoutMs }: RequestHints,
): Promise<HostAnswer> {
  return host.answer(module, {
    form: forms[face],
    body,
    jsonLength,
    abandoned: () => isAbandoned(request.raw),
    origin: originOf(request),
    ...(priority === undefined ? {} : { priority }),
    ...(timeoutMs === undefined ? {} : { deadlineMs: startedMs + timeoutMs }),
  });
}

function jsonOf({ buffer, start, length }: Body, jsonLength: number | undefined): Uint8Array {
  return new Uint8Array(buffer, start, Math.min(jsonLength ?? length, length));
}

function isAbandoned(request: IncomingMessage): boolean {
  return request.socket.destroyed;
}

function unsupportedType(type: string): AppError {
  return new AppError(
    'request.unsupported-type',
    `content type "${type}" is not served: send application/json, or application/octet-stream with Inference-Header-Content-Length`,
  );
}
