/** `GET /swagger.json?version=2|3|3.1`, generated from what is loaded. */
import type { FastifyInstance } from 'fastify';
import { AppError } from '#shared/kernel/errors.js';
import { refuseOtherMethods } from '../allowed-methods.js';
import type { ScoringHost } from '../scoring-host.js';
import { swaggerDocument, swaggerVersion, swaggerVersions } from './openapi/swagger-document.js';

export function swaggerRoutes(app: FastifyInstance, host: ScoringHost): void {
  app.get('/swagger.json', (request) => {
    const asked = (request.query as Record<string, unknown>)['version'] ?? '2';
    const version = swaggerVersion(String(asked));
    if (!version) {
      throw new AppError(
        'request.not-found',
        `Swagger version [${String(asked)}] is not valid. Supported versions: [${swaggerVersions.join(', ')}].`,
      );
    }
    const names = [...new Set(host.all.map(({ name }) => name))];
    const modules = names.flatMap((name) => {
      const module = host.module(name);
      const path = host.names.length === 1 ? '/score' : `/score/${name}`;
      return module ? [{ name, path, signature: module.script ? ('script' as const) : module.signature }] : [];
    });
    return swaggerDocument({ name: names.join(', ') || 'flotilla', version: host.version, modules }, version);
  });
  refuseOtherMethods(app, '/swagger.json', ['GET', 'HEAD']);
}
