/** The face of Azure ML's scoring server: `/score`, and `/` for its probes. */
import type { FastifyInstance } from 'fastify';
import { AppError } from '#shared/kernel/errors.js';
import { refuseOtherMethods } from './allowed-methods.js';
import type { LoadedHostedModule } from './hosted-module.js';
import { answerScore } from './score-answer.js';
import type { ScoringHost } from './scoring-host.js';
import type { RequestHeaders } from '../traffic/request-origin.js';

export function scoreRoutes(app: FastifyInstance, host: ScoringHost): void {
  app.get('/', (_request, reply) => reply.type('text/plain').send('Healthy'));
  refuseOtherMethods(app, '/', ['GET', 'HEAD']);
  app.post('/score', async (request, reply) => {
    await answerScore(host, onlyModule(host, request.headers), 'score', request, reply);
    return reply;
  });
  refuseOtherMethods(app, '/score', ['POST']);
  app.post('/score/:module', async (request, reply) => {
    const { module: name } = request.params as { module: string };
    await answerScore(host, host.route(name, undefined, request.headers), 'score', request, reply);
    return reply;
  });
  refuseOtherMethods(app, '/score/:module', ['POST']);
}

function onlyModule(host: ScoringHost, headers: RequestHeaders): LoadedHostedModule {
  const [only, ...others] = host.names;
  if (only === undefined) throw new AppError('module.not-found', 'this host serves no module');
  if (others.length > 0) {
    const urls = host.names.map((name) => `/score/${name}`).join(', ');
    throw new AppError('module.not-found', `this host serves several modules: post to one of ${urls}`);
  }
  return host.route(only, undefined, headers);
}
