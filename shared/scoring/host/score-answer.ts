/** Answers one scoring request on either face, counts it, and says on the answer what it came from. */
import type { IncomingMessage } from 'node:http';
import { Transform, type Readable } from 'node:stream';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { AppError, isErrorCode, toProblem, type ErrorCode } from '#shared/kernel/errors.js';
import { jsonLengthHeader, jsonLengthOf } from '../codec/json-length.js';
import { problemHeader } from '../script-host/problem-header.js';
import type { Face } from './faults.js';
import type { LoadedHostedModule } from './hosted-module.js';
import type { ScoringHost } from './scoring-host.js';
import { mirrorScript } from '../traffic/mirror-script.js';
import { originOf } from '../traffic/request-origin.js';
import { aborted, tooLarge } from '../body-reader.js';

/** What clients of the protocol send for JSON and for binary tensors; tritonclient sends none at all. */
const tensorTypes = /^(?:application\/(?:json|octet-stream|[a-z0-9.+-]+\+json)|text\/json)(?:\s*;|$)/i;

export async function answerScore(
  host: ScoringHost,
  module: LoadedHostedModule,
  face: Face,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<void> {
  const startedMs = host.clock.monotonic();
  void reply.headers(host.provenance(module)).header('x-request-id', request.id);
  try {
    const failure = module.script
      ? await forwardToScript(host, module, face, request, reply)
      : await scoreByModel(host, module, face, request, reply);
    const latencyMs = host.clock.monotonic() - startedMs;
    if (failure === undefined) module.succeeded(latencyMs, host.clock.now());
    else module.failed(latencyMs, failure);
  } catch (error) {
    module.failed(host.clock.monotonic() - startedMs, toProblem(error).code);
    throw error;
  }
}

async function scoreByModel(
  host: ScoringHost,
  module: LoadedHostedModule,
  face: Face,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<undefined> {
  const type = request.headers['content-type'];
  if (type !== undefined && !tensorTypes.test(type)) {
    throw new AppError(
      'request.unsupported-type',
      `content type "${type}" is not served: send application/json, or application/octet-stream with Inference-Header-Content-Length`,
    );
  }
  const jsonLength = jsonLengthOf(request.headers);
  const abandoned = (): boolean => request.raw.socket.destroyed;
  const form = face === 'v2' ? 'infer' : 'score';
  const answer = await host.bodies.withBody(request.raw, jsonLength ?? 0, (body) =>
    host.answer(module, { form, body, jsonLength, abandoned, origin: originOf(request) }),
  );
  if (answer.cache) void reply.header('flotilla-cache', answer.cache);
  if (answer.jsonLength === undefined) void reply.header('content-type', 'application/json');
  else {
    void reply.header('content-type', 'application/octet-stream').header(jsonLengthHeader, String(answer.jsonLength));
  }
  const { buffer, byteOffset, byteLength } = answer.body;
  reply.send(Buffer.from(buffer, byteOffset, byteLength));
  return undefined;
}

/** Streams both ways; the script decides what the body means, and the limit is kept here. */
async function forwardToScript(
  host: ScoringHost,
  module: LoadedHostedModule,
  face: Face,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<ErrorCode | undefined> {
  const declared = Number(request.headers['content-length'] ?? 0);
  if (declared > host.maxBodyBytes) throw tooLarge(host.maxBodyBytes);
  const path = face === 'v2' ? '/infer' : '/score';
  const answer = await mirrorScript(host, module, face === 'v2' ? 'infer' : 'score', request, () =>
    module.answerByScript(path, request.headers, request.id, limitedBody(request.raw, host.maxBodyBytes)),
  );
  const problem = answer.headers[problemHeader];
  for (const name of ['content-type', 'content-length', jsonLengthHeader] as const) {
    const value = answer.headers[name];
    if (value !== undefined) void reply.header(name, value);
  }
  reply.code(answer.status).send(answer.body);
  return typeof problem === 'string' && isErrorCode(problem) ? problem : undefined;
}

/** The body up to the limit. Unlike `pipeline`, it leaves the connection open for an answer. */
function limitedBody(request: IncomingMessage, maxBytes: number): Readable {
  let received = 0;
  const limited = new Transform({
    transform: (chunk: Buffer, _encoding, done) => {
      received += chunk.length;
      done(received > maxBytes ? tooLarge(maxBytes) : null, chunk);
    },
  });
  request.pipe(limited);
  limited.once('error', () => {
    request.unpipe(limited);
    request.resume();
  });
  request.once('close', () => {
    if (!request.complete) limited.destroy(aborted());
  });
  return limited;
}
