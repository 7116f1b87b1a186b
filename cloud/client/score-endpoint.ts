/** One request to a web service, as any caller of it sends it. */
import { AppError, type ErrorCode } from '#shared/kernel/errors.js';
import { connectionError, HttpTransport } from './http-transport.js';
import type { ServerAuthority } from './server-authority.js';

export interface ScoreRequest {
  readonly url: URL;
  /** A key or a token; undefined where the endpoint asks for none. */
  readonly bearer: string | undefined;
  /** The deployment that is to answer; undefined: whichever the traffic leads to. */
  readonly deployment: string | undefined;
  readonly body: string;
}

export interface ScoreAnswer {
  readonly status: number;
  readonly text: string;
  /** Which deployment answered, where it says so. */
  readonly deployment: string | undefined;
}

const idleMs = 190_000;
const maxAnswerBytes = 64 * 1024 * 1024;

/** @throws AppError `server.unreachable`, and under a code of its own what the endpoint refuses with */
export async function scoreEndpoint(
  { url, bearer, deployment, body }: ScoreRequest,
  { authority, signal }: { readonly authority?: ServerAuthority | undefined; readonly signal: AbortSignal },
): Promise<ScoreAnswer> {
  const transport = new HttpTransport(authority);
  try {
    const headers = {
      'content-type': 'application/json',
      ...(bearer === undefined ? {} : { authorization: `Bearer ${bearer}` }),
      ...(deployment === undefined ? {} : { 'azureml-model-deployment': deployment }),
    };
    const answer = await transport.send({ method: 'POST', url, headers, body, signal, idleMs });
    const pieces: Buffer[] = [];
    let size = 0;
    for await (const piece of answer as AsyncIterable<Buffer>) {
      size += piece.length;
      if (size > maxAnswerBytes)
        throw new AppError('server.incompatible', `${url.origin} answered with more than 64 MiB`);
      pieces.push(piece);
    }
    const text = Buffer.concat(pieces).toString('utf8');
    const status = answer.statusCode ?? 0;
    if (status < 200 || status >= 300) throw refusalOf(status, text, answer.headers['ms-azureml-model-error-reason']);
    const answered = answer.headers['azureml-model-deployment'];
    return { status, text, deployment: typeof answered === 'string' ? answered : undefined };
  } catch (error) {
    throw connectionError(error, url, signal);
  } finally {
    transport.close();
  }
}

const codes: Readonly<Record<number, ErrorCode>> = {
  401: 'auth.invalid',
  403: 'auth.forbidden',
  404: 'endpoint.no-traffic',
  408: 'score.timeout',
  413: 'request.too-large',
  424: 'endpoint.replica-failed',
  429: 'score.overloaded',
  503: 'score.not-ready',
  504: 'score.timeout',
};

function refusalOf(status: number, text: string, reason: string | string[] | undefined): AppError {
  const code = codes[status] ?? (status < 500 ? 'score.invalid-input' : 'score.failed');
  const said = messageIn(text) ?? (typeof reason === 'string' ? reason : `status ${String(status)}`);
  return new AppError(code, `the endpoint answered ${String(status)}: ${said}`, { details: { status } });
}

function messageIn(text: string): string | undefined {
  try {
    const body: unknown = JSON.parse(text);
    if (typeof body !== 'object' || body === null) return undefined;
    if ('message' in body && typeof body.message === 'string') return body.message;
    if ('error' in body && typeof body.error === 'string') return body.error;
    return undefined;
  } catch {
    return text === '' ? undefined : text.slice(0, 500);
  }
}
