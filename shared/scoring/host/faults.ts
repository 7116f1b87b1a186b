/**
 * Failures as each face writes them: V2 and V1 `{"error": …}`, everything else `{"message": …}` as
 * Azure ML does.
 */
import { AppError, type ErrorCode, toProblem } from '#shared/kernel/errors.js';

export type Face = 'v2' | 'v1' | 'score';

export function faceOf(url: string): Face {
  const version = /^\/(v[12])(?:[/?]|$)/.exec(url)?.[1];
  return version === 'v1' || version === 'v2' ? version : 'score';
}

export interface Fault {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Readonly<Record<string, string>>;
}

export function faultOf(error: unknown, face: Face): Fault {
  const { code, message } = toProblem(error);
  return {
    status: statusOf(error, face),
    headers: { 'content-type': 'application/json', ...headersOf(code) },
    body: faultBody(message, face),
  };
}

/** As bytes, to which the framework adds no charset: JSON has none. */
export function bytesOfFault({ body }: Fault): Buffer {
  return Buffer.from(JSON.stringify(body));
}

/** What the framework itself refuses a request for; undefined for everything else. */
export function ofFramework(error: unknown): AppError | undefined {
  if (!(error instanceof Error) || error instanceof AppError) return undefined;
  const status: unknown = Reflect.get(error, 'statusCode');
  if (typeof status !== 'number' || status < 400 || status > 499) return undefined;
  return new AppError(status === 415 ? 'request.unsupported-type' : 'request.invalid', error.message, { cause: error });
}

function faultBody(message: string, face: Face): Readonly<Record<string, string>> {
  return face === 'score' ? { message } : { error: message };
}

function statusOf(error: unknown, face: Face): number {
  if (!(error instanceof AppError)) return 500;
  const { code, traits } = error;
  // On V2 what came too late is unavailable, as the protocol's own server has it.
  if (code === 'score.overloaded') return face === 'v2' ? 503 : 429;
  if (code === 'score.timeout' && face === 'v2') return 503;
  if (code === 'score.timeout' && error.details['by'] === 'script') return 500;
  return traits.status;
}

function headersOf(code: ErrorCode): Record<string, string> {
  if (code === 'score.overloaded' || code === 'score.not-ready') return { 'retry-after': '1' };
  if (code === 'auth.missing' || code === 'auth.invalid') return { 'www-authenticate': 'Bearer' };
  // The rest of the body may never come.
  if (code === 'request.timeout') return { connection: 'close' };
  return {};
}
