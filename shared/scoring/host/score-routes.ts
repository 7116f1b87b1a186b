/** The face of Azure ML's scoring server: `/score`, and `/` for its probes. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { AppError } from '#shared/kernel/errors.js';
import { queryToJson } from '../codec/query-input.js';
import { refuseOtherMethods } from './allowed-methods.js';
import type { LoadedHostedModule } from './hosted-module.js';
import { answerScore } from './score-answer.js';
import type { ScoringHost } from './scoring-host.js';
import type { RequestHeaders } from '../traffic/request-origin.js';

export function scoreRoutes(app: FastifyInstance, host: ScoringHost): void {
  app.get('/', (_request, reply) => reply.type('text/plain').send('Healthy'));
  refuseOtherMethods(app, '/', ['GET', 'HEAD']);
  scoreAt(app, host, '/score', (request) => onlyModule(host, request.headers));
  scoreAt(app, host, '/score/:module', (request) =>
    host.route((request.params as { module: string }).module, undefined, request.headers),
  );
}

function scoreAt(
  app: FastifyInstance,
  host: ScoringHost,
  url: string,
  find: (request: FastifyRequest) => LoadedHostedModule,
): void {
  app.post(url, async (request, reply) => {
    await answerScore(host, find(request), 'score', request, reply);
    return reply;
  });
  app.get(url, { exposeHeadRoute: false }, async (request, reply) => {
    const query = queryToJson(request.url.split('?')[1] ?? '');
    await answerScore(host, find(request), 'score', request, reply, query);
    return reply;
  });
  // Says what is allowed, and nothing to other origins: the answer has no CORS headers.
  app.options(url, (_request, reply: FastifyReply) => reply.header('allow', 'GET, POST, OPTIONS').send());
  refuseOtherMethods(app, url, ['GET', 'POST', 'OPTIONS']);
}

/** @throws AppError `module.not-found` where there is none, or several */
function onlyModule(host: ScoringHost, headers: RequestHeaders = {}): LoadedHostedModule {
  const [only, ...others] = host.names;
  if (only === undefined) throw new AppError('module.not-found', 'this host serves no module');
  if (others.length > 0) {
    const urls = host.names.map((name) => `/score/${name}`).join(', ');
    throw new AppError('module.not-found', `this host serves several modules: ask one of ${urls}`);
  }
  return host.route(only, undefined, headers);
}
