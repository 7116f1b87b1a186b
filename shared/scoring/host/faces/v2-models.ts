/** Models of the Open Inference Protocol V2: what they are, whether they are ready, and inference. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { refuseOtherMethods } from '../allowed-methods.js';
import type { LoadedHostedModule } from '../hosted-module.js';
import { modelMetadata } from '../model-metadata.js';
import { answerScore } from '../score-answer.js';
import type { ScoringHost } from '../scoring-host.js';

interface ModelParams {
  readonly model: string;
  readonly version?: string;
}

export function v2ModelRoutes(app: FastifyInstance, host: ScoringHost): void {
  for (const base of ['/v2/models/:model', '/v2/models/:model/versions/:version']) {
    const get = (url: string, handler: (request: FastifyRequest, reply: FastifyReply) => unknown): void => {
      app.get(url, handler);
      refuseOtherMethods(app, url, ['GET', 'HEAD']);
    };
    get(base, (request) => {
      const { model, version } = request.params as ModelParams;
      return modelMetadata(host, model, version);
    });
    get(`${base}/ready`, (request) => ({ name: find(host, request).name, ready: true }));
    app.post(`${base}/infer`, async (request, reply) => {
      const { model, version } = request.params as ModelParams;
      await answerScore(host, host.route(model, version, request.headers), 'v2', request, reply);
      return reply;
    });
    refuseOtherMethods(app, `${base}/infer`, ['POST']);
  }
}

function find(host: ScoringHost, request: FastifyRequest): LoadedHostedModule {
  const { model, version } = request.params as ModelParams;
  return host.find(model, version);
}
