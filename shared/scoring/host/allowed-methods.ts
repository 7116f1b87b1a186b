import type { FastifyInstance } from 'fastify';
import { AppError } from '#shared/kernel/errors.js';

const methods = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'] as const;
type Method = (typeof methods)[number];

/** Every other method on a path that exists is 405, naming what is allowed. */
export function refuseOtherMethods(app: FastifyInstance, url: string, allowed: readonly Method[]): void {
  app.route({
    method: methods.filter((method) => !allowed.includes(method)),
    url,
    handler: (request, reply) => {
      void reply.header('allow', allowed.join(', '));
      throw new AppError(
        'request.method-not-allowed',
        `${request.method} is not allowed at ${request.url.split('?')[0] ?? ''}: use ${allowed.join(' or ')}`,
      );
    },
  });
}
