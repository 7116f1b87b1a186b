/** Every answer that is not a success is `problemBody`, whoever noticed: a route, fastify, or Node's parser. */
import { randomUUID } from 'node:crypto';
import type { Socket } from 'node:net';
import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify';
import { hasZodFastifySchemaValidationErrors } from 'fastify-type-provider-zod';
import { AppError, errorRegistry, toProblem, type Problem } from '#shared/kernel/errors.js';
import { storeError } from '#cloud/store/sqlite.js';
import type { App } from '../app.js';
import { MethodTable } from '../method-table.js';
import { problemBody } from '../schemas/common.js';

export function addProblems(app: App): void {
  const methods = new MethodTable();
  app.addHook('onRoute', (route) => {
    methods.add(route.method, route.url);
    if (route.schema?.hide === true) return;
    route.schema = {
      ...route.schema,
      response: { ...responsesOf(route.schema), '4xx': problemBody, '5xx': problemBody },
    };
  });
  app.setErrorHandler((error: FastifyError, request, reply) => {
    const failure = toAppError(error);
    if (failure === undefined || failure.traits.status >= 500) {
      request.log.error({ err: error, method: request.method, route: request.routeOptions.url }, 'request failed');
    }
    return send(reply, request, toProblem(failure ?? error));
  });
  app.setNotFoundHandler((request, reply) => {
    const path = request.url.split('?', 1)[0] ?? '';
    const allowed = methods.allowed(path);
    if (allowed.length === 0) {
      return send(reply, request, {
        code: 'request.not-found',
        message: `there is no ${path.slice(0, 200)} here; /docs lists what there is`,
      });
    }
    reply.header('allow', allowed.join(', '));
    return send(reply, request, {
      code: 'request.method-not-allowed',
      message: `${request.method} is not allowed on ${path.slice(0, 200)}; allowed: ${allowed.join(', ')}`,
    });
  });
}

/** The failure as the caller should see it; undefined for a bug. */
function toAppError(error: FastifyError): AppError | undefined {
  if (error instanceof AppError) return error;
  if (hasZodFastifySchemaValidationErrors(error)) {
    const issues = error.validation.map((issue) => ({
      path: issue.instancePath.slice(1).replaceAll('/', '.'),
      message: issue.message ?? 'invalid',
    }));
    const shown = issues
      .slice(0, 3)
      .map((issue) => (issue.path === '' ? issue.message : `${issue.path}: ${issue.message}`));
    const more = issues.length > 3 ? `; and ${String(issues.length - 3)} more` : '';
    return new AppError('request.invalid', `${contextWord(error.validationContext)}: ${shown.join('; ')}${more}`, {
      details: { issues: issues.slice(0, 20) },
    });
  }
  const store = storeError(error);
  if (store) return store;
  const status = error.statusCode ?? 500;
  if (status === 413) return new AppError('request.too-large', 'the body is larger than this route takes');
  if (status === 415) {
    return new AppError('request.unsupported-type', 'this content type is not taken here; JSON is application/json');
  }
  if (status === 408) return new AppError('request.aborted', 'the request took too long to arrive; send it again');
  if (status >= 400 && status < 500) return new AppError('request.invalid', error.message);
  return undefined;
}

/** What fastify refuses before it has a route: malformed URLs. */
export function answerFrameworkError(error: FastifyError, request: FastifyRequest, reply: FastifyReply): void {
  void send(reply, request, toProblem(toAppError(error) ?? error));
}

/** What Node's HTTP parser refuses: there is no request yet, only a socket. */
export function answerMalformedHttp(error: Error & { code?: string }, socket: Socket): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy();
    return;
  }
  const tooLarge = error.code === 'HPE_HEADER_OVERFLOW';
  const body = JSON.stringify({
    code: 'request.invalid',
    message: tooLarge ? 'the request headers are too large' : 'this is not a well-formed HTTP/1.1 request',
    requestId: randomUUID(),
  });
  socket.end(
    `HTTP/1.1 ${tooLarge ? '431 Request Header Fields Too Large' : '400 Bad Request'}\r\ncontent-type: application/json\r\n` +
      `content-length: ${String(Buffer.byteLength(body))}\r\nconnection: close\r\n\r\n${body}`,
  );
}

function send(reply: FastifyReply, request: FastifyRequest, problem: Problem): FastifyReply {
  const { status, retry } = errorRegistry[problem.code];
  const wait = problem.details?.['retryAfterSeconds'];
  if (status === 401) reply.header('www-authenticate', 'Bearer');
  if (typeof wait === 'number') reply.header('retry-after', String(wait));
  else if (status === 503 && retry === 'later') reply.header('retry-after', '1');
  // Headers that described the answer this one replaces.
  for (const name of ['content-length', 'content-range', 'etag', 'accept-ranges']) reply.removeHeader(name);
  return reply
    .code(status)
    .type('application/json; charset=utf-8')
    .serializer(JSON.stringify)
    .send({ ...problem, requestId: request.id });
}

function contextWord(context: string | undefined): string {
  return context === 'querystring' ? 'query' : context === 'params' ? 'path' : (context ?? 'request');
}

function responsesOf(schema: { response?: unknown } | undefined): Record<string, unknown> {
  const responses = schema?.response;
  return typeof responses === 'object' && responses !== null ? { ...responses } : {};
}
