/** From an answer of a web service that is no success to the AppError that it stands for. Pure. */
import type { IncomingHttpHeaders } from 'node:http';
import { AppError, type ErrorCode } from '#shared/kernel/errors.js';

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

/** `details` are `status`, and `requestId` and `retryAfterMs` where the answer has them. */
export function refusalOf(status: number, text: string, headers: IncomingHttpHeaders, nowMs: number): AppError {
  const code = codes[status] ?? (status < 500 ? 'score.invalid-input' : 'score.failed');
  const reason = headers['ms-azureml-model-error-reason'];
  const said = messageIn(text) ?? (typeof reason === 'string' ? reason : `status ${String(status)}`);
  const requestId = headers['x-request-id'];
  const retryAfterMs = status === 429 || status === 503 ? waitIn(headers['retry-after'], nowMs) : undefined;
  return new AppError(code, `the endpoint answered ${String(status)}: ${said}`, {
    details: {
      status,
      ...(typeof requestId === 'string' ? { requestId } : {}),
      ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
    },
  });
}

/** Seconds, or a date (RFC 9110 10.2.3). Undefined for what is neither. */
export function waitIn(text: string | undefined, nowMs: number): number | undefined {
  if (text === undefined) return undefined;
  if (/^\d{1,9}$/.test(text)) return Number(text) * 1000;
  const at = /^[A-Za-z]{3}, /.test(text) ? Date.parse(text) : Number.NaN;
  return Number.isNaN(at) ? undefined : Math.max(0, at - nowMs);
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
