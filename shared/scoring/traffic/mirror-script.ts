/**
 * Copies what passes between a client and a module's script, for a shadow version: both bodies are streams,
 * of which the first bytes are kept, up to a limit. A longer one is not mirrored.
 */
import { pipeline, type Readable, Transform } from 'node:stream';
import type { FastifyRequest } from 'fastify';
import { type ErrorCode, isErrorCode, toProblem } from '#shared/kernel/errors.js';
import type { EncodedResponse } from '../codec/infer-response.js';
import { jsonLengthHeader, jsonLengthOf } from '../codec/json-length.js';
import type { LoadedHostedModule } from '../host/hosted-module.js';
import type { ScoringHost } from '../host/scoring-host.js';
import { problemHeader } from '../script-host/problem-header.js';
import type { ScriptAnswer } from '../script-host/script-client.js';
import type { BodyForm } from '../worker/worker-protocol.js';
import { askShadow } from './ask-shadow.js';
import { originOf } from './request-origin.js';
import type { Ask, Copying } from './shadow.js';
import { maxScriptAnswerBytes } from './shadow-door.js';

const maxScriptBodyBytes = 1024 * 1024;

export type PassedAnswer = Omit<ScriptAnswer, 'body'> & { readonly body: Readable };

/** @param ask begins to read the request's body, and asks the live version's script */
export async function mirrorScript(
  host: ScoringHost,
  module: LoadedHostedModule,
  form: BodyForm,
  request: FastifyRequest,
  ask: () => Promise<ScriptAnswer>,
): Promise<PassedAnswer> {
  const kept = new FirstBytes(maxScriptBodyBytes);
  const copying = sample(host, module, form, request, kept);
  if (!copying) return ask();
  const startedMs = host.clock.monotonic();
  try {
    const answer = await ask();
    const ended = (failure: ErrorCode | undefined, sent: EncodedResponse): void => {
      if (failure === undefined && !kept.cut) copying.answered(sent, host.clock.monotonic() - startedMs);
      else copying.failed(failure ?? 'request.too-large');
    };
    return { ...answer, body: passOn(answer, ended) };
  } catch (error) {
    copying.failed(toProblem(error).code);
    throw error;
  }
}

function sample(
  host: ScoringHost,
  module: LoadedHostedModule,
  form: BodyForm,
  request: FastifyRequest,
  kept: FirstBytes,
): Copying | undefined {
  if (host.traffic.shadow(module.name) === undefined) return undefined;
  const declared = request.headers['content-length'];
  const reserved = declared === undefined ? maxScriptBodyBytes : Number(declared);
  if (reserved > maxScriptBodyBytes) return undefined;
  const { pinned, requestId } = originOf(request);
  const { headers } = request;
  const jsonLength = jsonLengthOf(headers);
  return host.traffic.sampleScript(module, reserved, pinned, (): Ask => {
    // The body begins to flow in the next turn, to us and to the script.
    request.raw.on('data', (chunk: Buffer) => kept.add(chunk));
    return (target) => {
      const { buffer, length } = kept.bytes();
      return askShadow(
        { form, body: { buffer, start: 0, length }, requestId, jsonLength, headers },
        host.clock,
      )(target);
    };
  });
}

/** The answer's body as it goes by. @param ended told at its end, with all of it where nothing failed */
function passOn(
  answer: ScriptAnswer,
  ended: (failure: ErrorCode | undefined, sent: EncodedResponse) => void,
): Readable {
  const sent = new FirstBytes(maxScriptAnswerBytes);
  const tap = new Transform({
    transform: (chunk: Buffer, _encoding, done) => {
      sent.add(chunk);
      done(null, chunk);
    },
  });
  pipeline(answer.body, tap, (error) => {
    const problem = answer.headers[problemHeader];
    const given = typeof problem === 'string' && isErrorCode(problem) ? problem : 'score.failed';
    const body = sent.bytes();
    if (error) ended('request.aborted', { body });
    else if (answer.status !== 200) ended(given, { body });
    else if (sent.cut) ended('request.too-large', { body });
    else ended(undefined, { body, ...jsonLengthIn(answer) });
  });
  return tap;
}

/** A script may write the header as it likes: it is passed on as it is, and its answer then read as JSON. */
function jsonLengthIn({ headers }: ScriptAnswer): { readonly jsonLength?: number } {
  const value = headers[jsonLengthHeader];
  return typeof value === 'string' && /^\d{1,15}$/.test(value) ? { jsonLength: Number(value) } : {};
}

class FirstBytes {
  private readonly chunks: Buffer[] = [];
  private length = 0;

  constructor(private readonly max: number) {}

  add(chunk: Buffer): void {
    this.length += chunk.length;
    if (this.cut) this.chunks.length = 0;
    else this.chunks.push(chunk);
  }

  get cut(): boolean {
    return this.length > this.max;
  }

  bytes(): Uint8Array<ArrayBuffer> {
    return new Uint8Array(Buffer.concat(this.chunks));
  }
}
