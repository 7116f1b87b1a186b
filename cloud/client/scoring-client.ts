/** Asks a web service, as any caller of it does: by `/score`, or by the Open Inference Protocol V2. */
import type { IncomingHttpHeaders } from 'node:http';
import { type Clock, systemClock } from '#shared/kernel/clock.js';
import { AppError } from '#shared/kernel/errors.js';
import { readBounded } from '#shared/platform/bounded-body.js';
import { describeIssues } from '#shared/protocol/decode.js';
import { type BinaryAnswer, type BinaryTensor, decodeBinary, encodeBinary } from './binary-tensors.js';
import { connectionError, HttpTransport } from './http-transport.js';
import { checkInput, type InferAnswer, inferAnswerSchema, type InferInput } from './infer-tensors.js';
import { refusalOf } from './scoring-refusal.js';
import type { ServerAuthority } from './server-authority.js';

export interface ScoringClientOptions {
  /** `…/endpoints/<workspace>/<endpoint>`, with or without `/score`. */
  readonly url: URL | string;
  /** One of the endpoint's keys. */
  readonly key?: string | undefined;
  /** Instead of a key, where the endpoint asks for tokens. */
  readonly token?: string | undefined;
  /** The only one that is believed of the server; without it, those that Node believes. */
  readonly authority?: ServerAuthority | undefined;
  /** For one call, all its attempts and the waits between them: 60 s without it. */
  readonly timeoutMs?: number | undefined;
  /** How often a request that was refused for lack of room is sent again: twice without it. */
  readonly retries?: number | undefined;
  readonly clock?: Clock | undefined;
}

export interface ScoringCall {
  /** The deployment that is to answer; without it, whichever the traffic leads to. */
  readonly deployment?: string | undefined;
  readonly requestId?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface Scored<T> {
  /** JSON where the answer is, otherwise its text. */
  readonly value: T;
  readonly status: number;
  /** Which deployment answered, where it says so. */
  readonly deployment: string | undefined;
  readonly requestId: string | undefined;
}

interface Attempt {
  readonly url: URL;
  readonly body: string | Uint8Array;
  readonly type: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
  readonly idleMs: number;
}

interface Answer {
  readonly facts: Omit<Scored<never>, 'value'>;
  readonly bytes: Buffer<ArrayBuffer>;
  readonly headers: IncomingHttpHeaders;
}

const maxAnswerBytes = 64 * 1024 * 1024;
/** How much of a body is JSON, before the bytes of its tensors. */
const lengthHeader = 'inference-header-content-length';

/**
 * Sends again only what was refused with 429 or 503 and Retry-After, while the time of the call lasts. Every failure is an
 * `AppError`: `auth.invalid`, `endpoint.no-traffic`, `score.timeout`, `request.too-large`, `endpoint.replica-failed`,
 * `score.overloaded`, `score.not-ready`, `score.invalid-input`, `score.failed`, with `details.status`; `server.unreachable`
 * and `server.untrusted` where there was no answer; `request.aborted` by the caller's signal.
 */
export class ScoringClient {
  private readonly transport: HttpTransport;
  private readonly base: string;
  private readonly clock: Clock;

  constructor(private readonly options: ScoringClientOptions) {
    const { url, key, token, authority, clock } = options;
    if (key !== undefined && token !== undefined) {
      throw new AppError('request.invalid', 'an endpoint takes a key or a token: give one of them');
    }
    this.base = new URL(url).href.replace(/\/+$/, '').replace(/\/score$/, '');
    this.transport = new HttpTransport(authority);
    this.clock = clock ?? systemClock;
  }

  /** @param input anything that JSON has a form for, as the model takes it at `/score` */
  async score<T = unknown>(input: unknown, call: ScoringCall = {}): Promise<Scored<T>> {
    const { text, ...answer } = await this.send('/score', JSON.stringify(input), call);
    return { ...answer, value: parsed(text) as T };
  }

  /** @param outputs those that are wanted; without it all */
  async infer(
    model: string,
    inputs: readonly InferInput[],
    { outputs, ...call }: ScoringCall & { readonly outputs?: readonly string[] | undefined } = {},
  ): Promise<Scored<InferAnswer>> {
    for (const input of inputs) checkInput(input);
    const wanted = outputs === undefined ? {} : { outputs: outputs.map((name) => ({ name })) };
    const body = JSON.stringify({ inputs, ...wanted });
    const { text, ...answer } = await this.send(`/v2/models/${encodeURIComponent(model)}/infer`, body, call);
    const answered = inferAnswerSchema.safeParse(parsed(text));
    if (answered.success) return { ...answer, value: answered.data };
    const why = describeIssues(answered.error);
    throw new AppError('server.incompatible', `${model} answered with what is no inference response (${why})`);
  }

  /**
   * As {@link infer}, with bytes in place of JSON both ways: exact, and a fraction of the size and of the work.
   *
   * @param outputs those that are wanted; without it all
   */
  async inferBinary(
    model: string,
    inputs: readonly BinaryTensor[],
    { outputs, ...call }: ScoringCall & { readonly outputs?: readonly string[] | undefined } = {},
  ): Promise<Scored<BinaryAnswer>> {
    const { body, jsonLength } = encodeBinary(inputs, outputs);
    const type = { 'content-type': 'application/octet-stream', [lengthHeader]: String(jsonLength) };
    const answer = await this.exchange(`/v2/models/${encodeURIComponent(model)}/infer`, body, type, call);
    return { ...answer.facts, value: decodeBinary(model, answer.bytes, answer.headers[lengthHeader]) };
  }

  /** @param body JSON. @returns the answer as its text */
  async send(path: string, body: string, call: ScoringCall): Promise<Omit<Scored<never>, 'value'> & { text: string }> {
    const { facts, bytes } = await this.exchange(path, body, { 'content-type': 'application/json' }, call);
    return { ...facts, text: bytes.toString('utf8') };
  }

  private async exchange(
    path: string,
    body: string | Uint8Array,
    type: Readonly<Record<string, string>>,
    call: ScoringCall,
  ): Promise<Answer> {
    const { timeoutMs = 60_000, retries = 2 } = this.options;
    const until = this.clock.monotonic() + timeoutMs;
    const late = AbortSignal.timeout(timeoutMs);
    const signal = call.signal === undefined ? late : AbortSignal.any([late, call.signal]);
    for (let again = 0; ; again++) {
      try {
        return await this.attempt({ url: new URL(this.base + path), body, type, signal, idleMs: timeoutMs }, call);
      } catch (error) {
        const code = error instanceof AppError ? error.code : undefined;
        if (code === 'request.aborted' && late.aborted && !call.signal?.aborted) {
          throw new AppError('score.timeout', `no answer within ${String(timeoutMs)} ms`, { cause: error });
        }
        const wait = error instanceof AppError ? error.details['retryAfterMs'] : undefined;
        if (typeof wait !== 'number' || again >= retries || this.clock.monotonic() + wait >= until) throw error;
        await this.clock.sleep(wait, signal);
      }
    }
  }

  /** Connections that are kept for the next call end. */
  close(): void {
    this.transport.close();
  }

  private async attempt(
    { url, body, type, signal, idleMs }: Attempt,
    { deployment, requestId }: ScoringCall,
  ): Promise<Answer> {
    const bearer = this.options.key ?? this.options.token;
    const headers = {
      ...type,
      ...(bearer === undefined ? {} : { authorization: `Bearer ${bearer}` }),
      ...(deployment === undefined ? {} : { 'azureml-model-deployment': deployment }),
      ...(requestId === undefined ? {} : { 'x-request-id': requestId }),
    };
    try {
      const answer = await this.transport.send({ method: 'POST', url, headers, body, signal, idleMs });
      const tooLarge = (): AppError =>
        new AppError('server.incompatible', `${url.origin} answered with more than 64 MiB`);
      const bytes = await readBounded(answer, maxAnswerBytes, tooLarge);
      const { statusCode: status = 0, headers: answered } = answer;
      if (status < 200 || status >= 300) throw refusalOf(status, bytes.toString('utf8'), answered, this.clock.now());
      const [by, id] = ['azureml-model-deployment', 'x-request-id'].map((name) => answered[name]);
      const facts = {
        ...{ status, deployment: typeof by === 'string' ? by : undefined },
        requestId: typeof id === 'string' ? id : undefined,
      };
      return { facts, bytes, headers: answered };
    } catch (error) {
      throw connectionError(error, url, signal);
    }
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return text;
  }
}
