/** From an answer that is not a success to the AppError it stands for. */
import { AppError, isErrorCode, type ErrorCode } from '#shared/kernel/errors.js';
import { problemBody } from '#cloud/http/schemas/common.js';

export function problemFrom(status: number, body: string, where: string): AppError {
  const problem = problemBody.safeParse(parseJson(body));
  if (!problem.success) {
    return new AppError(
      'server.incompatible',
      `${where} answered ${String(status)} with something that is no Flotilla problem; check that the URL is a control plane's and no proxy stands between`,
      { details: { status } },
    );
  }
  const { code, message, details, requestId } = problem.data;
  return isErrorCode(code)
    ? new AppError(code, message, { details: { ...details, requestId } })
    : new AppError(nearestCode(status), `${message} (${code})`, { details: { ...details, requestId, code } });
}

/** For codes of a newer server: what the HTTP status says. */
function nearestCode(status: number): ErrorCode {
  if (status === 401) return 'auth.invalid';
  if (status === 403) return 'auth.forbidden';
  if (status === 404) return 'request.not-found';
  if (status === 429) return 'rate.limited';
  return status < 500 ? 'request.invalid' : 'internal';
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}
