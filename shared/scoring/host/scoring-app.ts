/**
 * The HTTP front of a scoring host. It passes bytes: bodies are read by the routes, never parsed here,
 * whatever their content type; failures have the shape of the face that they happened on.
 */
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { fastify, type FastifyInstance, type FastifyReply } from 'fastify';
import { AppError, toProblem } from '#shared/kernel/errors.js';
import type { NewId } from '#shared/kernel/ids.js';
import type { Logger } from '#shared/platform/logger.js';
import type { AccessGate } from '../access/access-gate.js';
import { admit } from './admission.js';
import { refuseUnknownMethod } from './allowed-methods.js';
import { azureHeaders } from './faces/azure-headers.js';
import { metricsRoutes } from './faces/metrics-routes.js';
import { openApiRoutes } from './faces/openapi-routes.js';
import { routeIntake } from './faces/route-intake.js';
import { swaggerRoutes } from './faces/swagger-routes.js';
import { v1Routes } from './faces/v1-routes.js';
import { v2Routes } from './faces/v2-routes.js';
import { bytesOfFault, faceOf, faultOf, ofFramework } from './faults.js';
import { type QuickScore, quickScore } from './quick-score.js';
import { acceptableId } from './request-id.js';
import { scoreRoutes } from './score-routes.js';
import type { ScoringHost } from './scoring-host.js';
import { refuseUnreadable } from './unreadable-request.js';

/** What a client may leave a connection idle for; Node tells it so in every answer. */
const keepAliveTimeoutMs = 5000;
const headersTimeoutMs = 10_000;
/** Of a whole request. Bodies have a pace to keep besides (`body-pace.ts`). */
const requestTimeoutMs = 300_000;

export async function createScoringApp(deps: {
  readonly host: ScoringHost;
  readonly gate: AccessGate;
  readonly log: Logger;
  readonly newId: NewId;
}): Promise<FastifyInstance> {
  const { host, gate, log, newId } = deps;
  const app = fastify({
    logger: false,
    http: { noDelay: true, headersTimeout: headersTimeoutMs, connectionsCheckingInterval: headersTimeoutMs / 2 },
    keepAliveTimeout: keepAliveTimeoutMs,
    requestTimeout: requestTimeoutMs,
    routerOptions: { ignoreTrailingSlash: true, ignoreDuplicateSlashes: false },
    genReqId: ({ headers }) => acceptableId(headers['x-request-id']) ?? newId(),
    clientErrorHandler: refuseUnreadable,
    frameworkErrors: (error, request, untypedReply) => {
      const reply = untypedReply as unknown as FastifyReply;
      const fault = faultOf(new AppError('request.invalid', error.message), faceOf(request.raw.url ?? '/'));
      void reply.code(fault.status).headers(fault.headers).send(bytesOfFault(fault));
    },
  });
  app.removeAllContentTypeParsers();
  // Bodies stay streams: the routes read them, and know the limits.
  app.addContentTypeParser('*', (_request, _payload, done) => done(null, undefined));
  app.addHook('onRequest', (request, reply, done) => {
    refuseUnknownMethod(request, reply);
    if (faceOf(request.url) === 'score') void reply.headers(azureHeaders(request.headers, request.id, host.version));
    done();
  });

  app.setErrorHandler((thrown, request, reply) => {
    const error = ofFramework(thrown) ?? thrown;
    if (!(error instanceof AppError)) log.error({ err: error, url: request.url }, 'a request failed by a bug of ours');
    const face = faceOf(request.url);
    const fault = faultOf(error, face);
    if (face === 'score' && functionFailed(error)) void reply.header('x-ms-run-function-failed', 'True');
    void reply.code(fault.status).headers(fault.headers).header('x-request-id', request.id).send(bytesOfFault(fault));
  });
  app.setNotFoundHandler((request) => {
    throw new AppError('request.not-found', `nothing answers at ${request.url.split('?')[0] ?? ''} here`);
  });

  v2Routes(app, host);
  v1Routes(app, host);
  scoreRoutes(app, host);
  routeIntake(app, host);
  swaggerRoutes(app, host);
  openApiRoutes(app, host);
  metricsRoutes(app, host);
  await app.ready();
  judgeThenAnswer(app.server, (message, response) => admit(gate, newId, message, response), quickScore(deps));
  return app;
}

type Step = (message: IncomingMessage, response: ServerResponse) => boolean;

/** Every request comes in here: whether it may, then the quick way, then the framework's. */
function judgeThenAnswer(server: Server, admitted: Step, quick: QuickScore): void {
  const framework = server.listeners('request') as ((message: IncomingMessage, response: ServerResponse) => void)[];
  server.removeAllListeners('request');
  server.on('request', (message, response) => {
    if (!admitted(message, response) || quick(message, response)) return;
    for (const listener of framework) listener.call(server, message, response);
  });
}

function functionFailed(error: unknown): boolean {
  const { code } = toProblem(error);
  return code === 'score.failed' || code === 'score.timeout';
}
