/** Open Inference Protocol V2 over HTTP, with the extensions that the server's metadata names. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { refuseOtherMethods } from '../allowed-methods.js';
import { extensions } from '../model-metadata.js';
import type { ScoringHost } from '../scoring-host.js';
import { shadowRoutes } from '../../traffic/shadow-report.js';
import { v2ModelRoutes } from './v2-models.js';
import { v2RefusedRoutes } from './v2-refused.js';
import { v2RepositoryRoutes } from './v2-repository.js';
import { v2StatisticsRoutes } from './v2-statistics.js';

export function v2Routes(app: FastifyInstance, host: ScoringHost): void {
  getRoute(app, '/v2', () => ({ name: 'flotilla', version: host.version, extensions }));
  getRoute(app, '/v2/health/live', () => ({ live: true }));
  // A host listens only once its modules are loaded, and stops listening before it stops answering.
  getRoute(app, '/v2/health/ready', () => ({ ready: true }));
  v2ModelRoutes(app, host);
  v2StatisticsRoutes(app, host);
  shadowRoutes(app, host);
  v2RepositoryRoutes(app, host);
  v2RefusedRoutes(app);
}

function getRoute(
  app: FastifyInstance,
  url: string,
  handler: (request: FastifyRequest, reply: FastifyReply) => unknown,
): void {
  app.get(url, handler);
  refuseOtherMethods(app, url, ['GET', 'HEAD']);
}
