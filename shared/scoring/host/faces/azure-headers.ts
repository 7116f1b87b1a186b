/**
 * The headers of Azure ML's scoring server: ids that come and go, whether the script failed, who
 * answers. A request has an id, which is ours where it brings none, and maybe one of its client.
 */
import type { IncomingHttpHeaders } from 'node:http';
import { AppError } from '#shared/kernel/errors.js';

const longestId = 100;

/** @throws AppError `request.headers-too-large` for an id that is longer than 100 characters */
export function azureHeaders(headers: IncomingHttpHeaders, requestId: string, version: string): Record<string, string> {
  const own = textOf(headers, 'x-request-id');
  const legacy = textOf(headers, 'x-ms-request-id');
  const client = textOf(headers, 'x-ms-client-request-id') || legacy;
  if (own.length > longestId) throw tooLong('x-request-id');
  if (legacy.length > longestId || client.length > longestId) {
    throw tooLong('x-ms-request-id and x-ms-client-request-id');
  }
  return {
    'x-request-id': requestId,
    'x-ms-request-id': legacy || client || requestId,
    ...(client === '' ? {} : { 'x-ms-client-request-id': client }),
    'x-ms-run-function-failed': 'False',
    'x-ms-server-version': `flotilla/${version}`,
  };
}

function textOf(headers: IncomingHttpHeaders, name: string): string {
  const value = headers[name];
  return typeof value === 'string' ? value : '';
}

function tooLong(names: string): AppError {
  return new AppError('request.headers-too-large', `${names} must not exceed ${String(longestId)} characters`);
}
