import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { AppError } from '#shared/kernel/errors.js';

const methods = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE'] as const;
type Method = (typeof methods)[number];

/**
 * Methods that no route here could have, whatever the framework makes of them.
 *
 * @throws AppError `request.method-not-allowed`
 */
export function refuseUnknownMethod({ method }: FastifyRequest, reply: FastifyReply): void {
  if (methods.some((known) => known === method)) return;
  void reply.header('allow', 'GET, HEAD, POST, OPTIONS');
  throw new AppError('request.method-not-allowed', `${method} is not served here`);
}

/**
 * Every other method on a path that exists is 405, naming what is allowed.
 *
 * @param allowedAt of what has routes; another answer where one route stands for paths of several kinds
 */
export function refuseOtherMethods(
  app: FastifyInstance,
  url: string,
  routed: readonly Method[],
  allowedAt: (request: FastifyRequest) => readonly Method[] = () => routed,
): void {
  app.route({
    method: methods.filter((method) => !routed.includes(method)),
    url,
    handler: (request, reply) => {
      const allowed = allowedAt(request);
      void reply.header('allow', allowed.join(', '));
      throw new AppError(
        'request.method-not-allowed',
        `${request.method} is not allowed at ${request.url.split('?')[0] ?? ''}: use ${allowed.join(' or ')}`,
      );
    },
  });
}
