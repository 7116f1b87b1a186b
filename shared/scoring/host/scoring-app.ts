/**
 * The HTTP front of a scoring host. It passes bytes: bodies are read by the routes, never parsed here,
 * whatever their content type; failures have the shape of the face that they happened on.
 */
import { fastify, type FastifyInstance, type FastifyReply } from 'fastify';
import { AppError } from '#shared/kernel/errors.js';
import type { NewId } from '#shared/kernel/ids.js';
import type { Logger } from '#shared/platform/logger.js';
import { faceOf, faultOf } from './faults.js';
import { scoreRoutes } from './score-routes.js';
import { v2Routes } from './v2-routes.js';
import type { ScoringHost } from './scoring-host.js';

/** What a client may leave a connection idle for; Node tells it so in every answer. */
const keepAliveTimeoutMs = 5000;
const requestTimeoutMs = 300_000;

export async function createScoringApp(deps: {
  readonly host: ScoringHost;
  readonly log: Logger;
  readonly newId: NewId;
}): Promise<FastifyInstance> {
  const { host, log, newId } = deps;
  const app = fastify({
    logger: false,
    http: { noDelay: true },
    keepAliveTimeout: keepAliveTimeoutMs,
    requestTimeout: requestTimeoutMs,
    routerOptions: { ignoreTrailingSlash: true, ignoreDuplicateSlashes: false },
    genReqId: ({ headers }) => acceptableId(headers['x-request-id']) ?? newId(),
    frameworkErrors: (error, request, untypedReply) => {
      const reply = untypedReply as unknown as FastifyReply;
      const fault = faultOf(new AppError('request.invalid', error.message), faceOf(request.raw.url ?? '/'));
      void reply.code(fault.status).headers(fault.headers).send(fault.body);
    },
  });
  app.removeAllContentTypeParsers();
  // Bodies stay streams: the routes read them, and know the limits.
  app.addContentTypeParser('*', (_request, _payload, done) => done(null, undefined));

  app.setErrorHandler((error, request, reply) => {
    if (!(error instanceof AppError)) log.error({ err: error, url: request.url }, 'a request failed by a bug of ours');
    const fault = faultOf(error, faceOf(request.url));
    void reply.code(fault.status).headers(fault.headers).header('x-request-id', request.id).send(fault.body);
  });
  app.setNotFoundHandler((request) => {
    throw new AppError('request.not-found', `nothing answers at ${request.url.split('?')[0] ?? ''} here`);
  });

  v2Routes(app, host);
  scoreRoutes(app, host);
  await app.ready();
  return app;
}

/** Anything else would break our headers or logs: it gets an id of ours instead. */
export function acceptableId(header: string | string[] | undefined): string | undefined {
  return typeof header === 'string' && /^[\x21-\x7e]{1,100}$/.test(header) ? header : undefined;
}
