/** `GET /openapi.json` of the whole host, `GET /v2/models/{model}/openapi.json` of one model. */
import type { FastifyInstance } from 'fastify';
import { refuseOtherMethods } from '../allowed-methods.js';
import type { ScoringHost } from '../scoring-host.js';
import type { DescribedModule } from './openapi/model-operations.js';
import { openApiDocument } from './openapi/openapi-document.js';

export function openApiRoutes(app: FastifyInstance, host: ScoringHost): void {
  app.get('/openapi.json', () => {
    const names = [...new Set(host.all.map(({ name }) => name))];
    const modules = names.map((name) => describeModule(host, name));
    return openApiDocument(host.version, modules, { host: true, repository: host.names });
  });
  refuseOtherMethods(app, '/openapi.json', ['GET', 'HEAD']);
  app.get('/v2/models/:model/openapi.json', (request) => {
    const { name } = host.find((request.params as { model: string }).model);
    return openApiDocument(host.version, [describeModule(host, name)], { host: false, repository: [] });
  });
  refuseOtherMethods(app, '/v2/models/:model/openapi.json', ['GET', 'HEAD']);
}

function describeModule(host: ScoringHost, name: string): DescribedModule {
  return {
    name,
    only: host.names.length === 1,
    versions: host.versions(name).map((loaded) => ({
      version: String(loaded.module.version),
      described: loaded.script ? 'script' : loaded.signature,
    })),
  };
}
