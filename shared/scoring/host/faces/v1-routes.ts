/** The V1 protocol of KServe: models, and `:predict`. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { AppError } from '#shared/kernel/errors.js';
import { refuseOtherMethods } from '../allowed-methods.js';
import { answerScore } from '../score-answer.js';
import type { ScoringHost } from '../scoring-host.js';

export function v1Routes(app: FastifyInstance, host: ScoringHost): void {
  app.get('/v1/models', () => ({ models: [...new Set(host.all.map(({ name }) => name))] }));
  refuseOtherMethods(app, '/v1/models', ['GET', 'HEAD']);
  // One parameter for both: the router has no name for what stands before a colon.
  app.get('/v1/models/:target', (request, reply) => {
    const { target } = request.params as { target: string };
    if (target.includes(':')) {
      void reply.header('allow', 'POST');
      throw new AppError('request.method-not-allowed', `${request.method} is not allowed here: use POST`);
    }
    return { name: host.find(target).name, ready: true };
  });
  app.post('/v1/models/:target', async (request, reply) => {
    await predict(host, request, reply);
    return reply;
  });
  refuseOtherMethods(app, '/v1/models/:target', ['GET', 'HEAD', 'POST'], ({ url }) =>
    url.includes(':') ? ['POST'] : ['GET', 'HEAD'],
  );
}

async function predict(host: ScoringHost, request: FastifyRequest, reply: FastifyReply): Promise<void> {
  const { target } = request.params as { target: string };
  const [model = '', verb, ...more] = target.split(':');
  if (verb === undefined) {
    void reply.header('allow', 'GET, HEAD');
    throw new AppError('request.method-not-allowed', `POST is not allowed here: ask /v1/models/${model}:predict`);
  }
  if (verb !== 'predict' || more.length > 0) {
    throw new AppError('request.not-found', `nothing answers at ${target} here: ask /v1/models/${model}:predict`);
  }
  await answerScore(host, host.route(model, undefined, request.headers), 'v1', request, reply);
}
