/**
 * A request to a module's script, both ways streamed: the script decides what the body means; the limits
 * of size, pace and time are kept here. A script that streams events is passed on event by event, and
 * told when the client has left.
 */
import type { IncomingMessage } from 'node:http';
import { finished, Transform, type Readable } from 'node:stream';
import { AppError, type ErrorCode, isErrorCode } from '#shared/kernel/errors.js';
import { defaultScoringOptions } from '#shared/package/scoring-options.js';
import { tooSlow, watchPace } from '../body-pace.js';
import { aborted, tooLarge } from '../body-reader.js';
import { jsonLengthHeader } from '../codec/json-length.js';
import { collectScript } from '../collect/collect-script.js';
import { readHeaderHints } from '../codec/request-hints.js';
import { eventStreamType, methodHeader, problemHeader } from '../script-host/problem-header.js';
import type { ScriptAnswer, ScriptPath } from '../script-host/script-client.js';
import { mirrorScript } from '../traffic/mirror-script.js';
import type { Face } from './faults.js';
import type { Scored } from './scored.js';
import { forms } from './score-model.js';
import type { ScoringHost } from './scoring-host.js';

const paths: Readonly<Record<Face, ScriptPath>> = { v2: '/infer', v1: '/predict', score: '/score' };
const passedOn = ['content-type', 'content-length', 'cache-control', jsonLengthHeader] as const;

/** @returns what it failed with, where the answer tells the client already */
export async function forwardToScript(scored: Scored): Promise<ErrorCode | undefined> {
  const { host, face, request, reply, startedMs } = scored;
  const declared = Number(request.headers['content-length'] ?? 0);
  if (declared > host.maxBodyBytes) throw tooLarge(host.maxBodyBytes);
  let asked: ScriptAnswer | undefined;
  const answer = await collectScript(scored, () =>
    mirrorScript(host, scored.module, forms[face], request, async () => {
      asked = await ask(scored);
      return asked;
    }),
  );
  for (const name of passedOn) {
    const value = answer.headers[name];
    if (value !== undefined) void reply.header(name, value);
  }
  const problem = codeIn(answer.headers[problemHeader]);
  if (face === 'score') {
    if (problem === 'score.failed') void reply.header('x-ms-run-function-failed', 'True');
    if (problem === undefined) {
      void reply.header('x-ms-run-fn-exec-ms', (host.clock.monotonic() - startedMs).toFixed(3));
    }
  }
  reply.code(answer.status).send(answer.body);
  if (answer.headers['content-type'] !== eventStreamType) return problem;
  await new Promise<void>((resolve) => {
    finished(answer.body, { writable: false }, () => resolve());
    request.raw.socket.once('close', resolve);
  });
  return codeIn(asked?.body.trailers[problemHeader]);
}

/** Waits for the script's status, at most until its time is over or the client has left. */
async function ask(scored: Scored): Promise<ScriptAnswer> {
  const { host, module, face, request, reply, query } = scored;
  const limits = new AbortController();
  const onClose = (): void => limits.abort(aborted());
  reply.raw.once('close', onClose);
  const timer = setTimeout(() => limits.abort(late(scored)), Math.min(timeoutOf(scored).ms, 2 ** 31 - 1));
  try {
    const headers = { ...request.headers, [methodHeader]: request.method };
    if (query === undefined) {
      const body = limitedBody(request.raw, host);
      return await module.answerByScript(paths[face], headers, request.id, body, limits.signal);
    }
    const body = Buffer.from(query);
    return await module.answerByScript(paths[face], asJson(headers, body), request.id, body, limits.signal);
  } catch (error) {
    throw limits.signal.aborted ? (limits.signal.reason as AppError) : error;
  } finally {
    clearTimeout(timer);
    reply.raw.off('close', onClose);
  }
}

function timeoutOf({ module, request }: Scored): { readonly ms: number; readonly by: 'script' | 'client' } {
  const own = (module.module.scoring ?? defaultScoringOptions).script.timeoutMs;
  const { timeoutMs } = readHeaderHints(request.headers);
  return timeoutMs !== undefined && timeoutMs < own ? { ms: timeoutMs, by: 'client' } : { ms: own, by: 'script' };
}

function late(scored: Scored): AppError {
  const { ms, by } = timeoutOf(scored);
  return new AppError('score.timeout', `Scoring timeout after ${String(ms)} ms`, { details: { by } });
}

/** The body is ours: what the client said of its own does not hold. */
function asJson(headers: IncomingMessage['headers'], body: Buffer): IncomingMessage['headers'] {
  const { 'transfer-encoding': _, ...kept } = headers;
  return { ...kept, 'content-type': 'application/json', 'content-length': String(body.length) };
}

function codeIn(header: string | string[] | undefined): ErrorCode | undefined {
  return typeof header === 'string' && isErrorCode(header) ? header : undefined;
}

/** The body up to the limit. Unlike `pipeline`, it leaves the connection open for an answer. */
function limitedBody(request: IncomingMessage, { maxBodyBytes, bodyPace }: ScoringHost): Readable {
  let received = 0;
  const limited = new Transform({
    transform: (chunk: Buffer, _encoding, done) => {
      received += chunk.length;
      done(received > maxBodyBytes ? tooLarge(maxBodyBytes) : null, chunk);
    },
  });
  const unwatch = watchPace(request, bodyPace);
  request.pipe(limited);
  request.once('end', unwatch);
  request.once(tooSlow, (error: AppError) => limited.destroy(error));
  limited.once('error', () => {
    unwatch();
    request.unpipe(limited);
    request.resume();
  });
  request.once('close', () => {
    unwatch();
    if (!request.complete) limited.destroy(aborted());
  });
  return limited;
}
