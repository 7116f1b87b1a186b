/** Settings of the protocol's own server that this one does not have: refused in words that say what to use. */
import type { FastifyInstance } from 'fastify';
import { AppError } from '#shared/kernel/errors.js';
import { refuseOtherMethods } from '../allowed-methods.js';

const tracing =
  'trace settings are not served: read /v2/models/stats or /metrics for times, and the x-request-id header to follow a request';
const logging = 'log settings are not served: set FLOTILLA_LOG_LEVEL where the host is started';

const refused = {
  '/v2/trace/setting': tracing,
  '/v2/models/:model/trace/setting': tracing,
  '/v2/logging': logging,
} as const;

export function v2RefusedRoutes(app: FastifyInstance): void {
  for (const [url, message] of Object.entries(refused)) {
    app.route({
      method: ['GET', 'POST'],
      url,
      handler: () => {
        throw new AppError('request.not-implemented', message);
      },
    });
    refuseOtherMethods(app, url, ['GET', 'HEAD', 'POST']);
  }
}
