/** JSON bodies: bounded in size and depth before they are parsed, and never able to touch a prototype. */
import { createHash } from 'node:crypto';
import type { FastifyRequest } from 'fastify';
import { AppError } from '#shared/kernel/errors.js';
import { decodeJson } from '#shared/protocol/decode.js';
import type { App } from '../app.js';
import { findJsonFault } from '../json-fault.js';

export function addJsonBodies(app: App): void {
  app.removeContentTypeParser(['application/json', 'text/plain']);
  app.addContentTypeParser('application/json', { parseAs: 'buffer' }, async (request: FastifyRequest, body: Buffer) => {
    request.bodySha256 = createHash('sha256').update(body).digest('hex');
    return parseJsonBody(body);
  });
}

/** @throws AppError `request.invalid` naming line and column, or the forbidden name */
export function parseJsonBody(body: Buffer): unknown {
  // An empty body is no body: a route that needs one says which field it misses.
  if (body.length === 0) return undefined;
  const decoded = decodeJson(body, body.length);
  if (!decoded.ok) throw new AppError('request.invalid', `the body is ${describe(body, decoded.error.message)}`);
  const forbidden = findForbiddenName(decoded.value);
  if (forbidden !== undefined) throw new AppError('request.invalid', `the body uses the forbidden name "${forbidden}"`);
  return decoded.value;
}

function describe(body: Buffer, message: string): string {
  if (!message.startsWith('not JSON')) return message;
  const fault = findJsonFault(body.toString('utf8'));
  if (fault === undefined) return 'not UTF-8';
  return `not JSON: line ${String(fault.line)}, column ${String(fault.column)}: expected ${fault.expected}`;
}

function findForbiddenName(value: unknown): string | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  for (const [name, field] of Object.entries(value as Record<string, unknown>)) {
    if (name === '__proto__') return name;
    if (name === 'constructor' && typeof field === 'object' && field !== null && Object.hasOwn(field, 'prototype')) {
      return 'constructor.prototype';
    }
    const inner = findForbiddenName(field);
    if (inner !== undefined) return inner;
  }
  return undefined;
}
