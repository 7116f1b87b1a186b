import type { FastifyRequest } from 'fastify';
import { isLoopback } from '#cloud/config.js';
import type { App } from '../app.js';

/** Nothing here is to be framed, sniffed, cached, read by other sites or run as a page. */
export const securityHeaders = {
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  'x-permitted-cross-domain-policies': 'none',
  'referrer-policy': 'no-referrer',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
} as const;

/** Headers for every answer. */
export function addSecurityHeaders(app: App): void {
  app.addHook('onSend', async (request, reply) => {
    reply.header('x-request-id', request.id).headers(securityHeaders);
    if (!reply.hasHeader('cache-control')) reply.header('cache-control', 'no-store');
    // The documentation's pages bring a policy of their own.
    if (!reply.hasHeader('content-security-policy')) {
      reply.header('content-security-policy', "default-src 'none'; frame-ancestors 'none'");
    }
    if (isForGood(request)) reply.header('strict-transport-security', 'max-age=31536000');
  });
}

/** Of localhost a browser would demand TLS on every port, whoever serves there. */
function isForGood({ protocol, hostname }: FastifyRequest): boolean {
  return protocol === 'https' && !isLoopback(hostname.replace(/^\[|\]$/g, ''));
}
