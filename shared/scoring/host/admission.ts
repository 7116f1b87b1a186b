/** Who may not be answered is told so before anything else is done for the request, its body unread. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { AppError } from '#shared/kernel/errors.js';
import type { NewId } from '#shared/kernel/ids.js';
import type { AccessGate } from '../access/access-gate.js';
import { bytesOfFault, faceOf, faultOf } from './faults.js';
import { acceptableId } from './request-id.js';

const healthPath = /^\/(?:v2\/health\/(?:live|ready)\/?)?(?:\?|$)/;
/** For how long a browser may go by what it was told, in seconds. */
const preflightSeconds = '600';
const readableHeaders =
  'flotilla-model, flotilla-version, flotilla-digest, flotilla-provider, inference-header-content-length, retry-after, x-request-id, x-ms-request-id, x-ms-run-function-failed';

/** @returns whether the request goes on; otherwise it is answered */
export function admit(gate: AccessGate, newId: NewId, message: IncomingMessage, response: ServerResponse): boolean {
  const { headers } = message;
  if (gate.admitsAtOnce(headers)) return true;
  const asked = headers['access-control-request-method'];
  const question = {
    host: headers.host,
    origin: headers.origin,
    fetchSite: oneOf(headers['sec-fetch-site']),
    isPreflight: message.method === 'OPTIONS' && asked !== undefined,
    isHealth: (message.method === 'GET' || message.method === 'HEAD') && healthPath.test(message.url ?? ''),
  };
  const verdict = gate.judge(question, headers.authorization);
  switch (verdict.kind) {
    case 'admitted':
      gate.remember(headers.host);
      if (verdict.corsOrigin !== undefined) {
        allow(response, verdict.corsOrigin);
        response.setHeader('access-control-expose-headers', readableHeaders);
      }
      return true;
    case 'preflight':
      allow(response, verdict.corsOrigin);
      answerPreflight(message, response);
      return false;
    case 'refused': {
      const error = new AppError(verdict.code, verdict.message);
      const fault = faultOf(error, faceOf(message.url ?? '/'));
      const body = bytesOfFault(fault);
      response.writeHead(fault.status, {
        ...fault.headers,
        'content-length': body.length,
        'x-request-id': acceptableId(headers['x-request-id']) ?? newId(),
      });
      response.end(body);
      return false;
    }
  }
}

function allow(response: ServerResponse, origin: string): void {
  response.setHeader('access-control-allow-origin', origin);
  response.setHeader('vary', 'origin');
}

/** Every header is taken: what one says is judged where it is read. */
function answerPreflight({ headers }: IncomingMessage, response: ServerResponse): void {
  response.setHeader('access-control-allow-methods', 'GET, HEAD, POST');
  const asked = oneOf(headers['access-control-request-headers']);
  if (asked !== undefined) response.setHeader('access-control-allow-headers', asked);
  // A page of the internet asks a machine of the inside: the origin was named for that.
  if (headers['access-control-request-private-network'] === 'true') {
    response.setHeader('access-control-allow-private-network', 'true');
  }
  response.setHeader('access-control-max-age', preflightSeconds);
  response.writeHead(204, { 'content-length': 0 });
  response.end();
}

function oneOf(value: string | readonly string[] | undefined): string | undefined {
  return typeof value === 'string' ? value : value?.[0];
}
