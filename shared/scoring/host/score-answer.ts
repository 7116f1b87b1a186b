/** Answers one scoring request on any face, counts it, and says on the answer what it came from. */
import type { FastifyReply, FastifyRequest } from 'fastify';
import { type ErrorCode, toProblem } from '#shared/kernel/errors.js';
import { jsonLengthHeader } from '../codec/json-length.js';
import { originOf } from '../traffic/request-origin.js';
import type { HostAnswer } from '../traffic/traffic-control.js';
import type { Face } from './faults.js';
import { forwardToScript } from './forward-to-script.js';
import type { LoadedHostedModule } from './hosted-module.js';
import type { Scored } from './scored.js';
import { refuseEncoded, scoreByModel } from './score-model.js';
import type { ScoringHost } from './scoring-host.js';

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
  await counted(host, module, startedMs, async () => {
    refuseEncoded(request.raw);
    if (module.script) return forwardToScript(scored);
    const answer = await scoreByModel(host, {
      module,
      face,
      message: request.raw,
      origin: originOf(request),
      startedMs,
      query,
    });
    void reply.headers(answerHeaders(answer, face, host.clock.monotonic() - startedMs));
    reply.send(bytesOf(answer));
    return undefined;
  });
}

/** Counts what `answer` ends with: the failure that it returns or throws, or success. */
export async function counted(
  host: ScoringHost,
  module: LoadedHostedModule,
  startedMs: number,
  answer: () => Promise<ErrorCode | undefined>,
): Promise<void> {
  try {
    const failure = await answer();
    const latencyMs = host.clock.monotonic() - startedMs;
    if (failure === undefined) module.succeeded(latencyMs, host.clock.now());
    else module.failed(latencyMs, failure);
  } catch (error) {
    module.failed(host.clock.monotonic() - startedMs, toProblem(error).code);
    throw error;
  }
}

export function answerHeaders({ cache, jsonLength }: HostAnswer, face: Face, tookMs: number): Record<string, string> {
  return {
    ...(cache === undefined ? {} : { 'flotilla-cache': cache }),
    ...(jsonLength === undefined
      ? { 'content-type': 'application/json' }
      : { 'content-type': 'application/octet-stream', [jsonLengthHeader]: String(jsonLength) }),
    ...(face === 'score' ? { 'x-ms-run-fn-exec-ms': tookMs.toFixed(3) } : {}),
  };
}

export function bytesOf({ body: { buffer, byteOffset, byteLength } }: HostAnswer): Buffer {
  return Buffer.from(buffer, byteOffset, byteLength);
}
