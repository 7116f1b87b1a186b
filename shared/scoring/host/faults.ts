/** Failures as the two faces write them: V2 `{"error": …}`, everything else `{"message": …}` as Azure ML does. */
import { AppError, toProblem } from '#shared/kernel/errors.js';

export type Face = 'v2' | 'score';

export function faceOf(url: string): Face {
  return /^\/v2(?:[/?]|$)/.test(url) ? 'v2' : 'score';
}

export interface Fault {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Readonly<Record<string, string>>;
}

export function faultOf(error: unknown, face: Face): Fault {
  const { code, message } = toProblem(error);
  const traits = error instanceof AppError ? error.traits : undefined;
  const overloaded = code === 'score.overloaded';
  return {
    status: overloaded && face === 'score' ? 429 : (traits?.status ?? 500),
    headers: {
      'content-type': 'application/json',
      ...(overloaded || code === 'score.not-ready' ? { 'retry-after': '1' } : {}),
    },
    body: face === 'v2' ? { error: message } : { message },
  };
}
