/**
 * Every route that changes something, or says that what it gives is personal, is in the audit log, whether its author thought of it or not: announced before
 * its handler runs, and entered with its outcome before the answer leaves.
 */
import type { FastifyRequest } from 'fastify';
import type { AuditEvent, AuditIntent, AuditLog, AuditOutcome } from '#cloud/audit/audit-log.js';
import type { App } from '../app.js';
import { workspaceOf } from './authentication.js';

const reading = new Set(['GET', 'HEAD', 'OPTIONS']);

export function addAuditing(app: App, audit: AuditLog): void {
  const intents = new WeakMap<FastifyRequest, AuditIntent>();
  const entered = new WeakSet<FastifyRequest>();
  app.addHook('preHandler', async (request) => {
    const event = eventOf(request);
    if (event) intents.set(request, await audit.begin(event));
  });
  // A change under way ends in an entry; what was refused before its handler ran changed nothing, and is one too.
  app.addHook('onSend', async (request, reply) => {
    const event = eventOf(request);
    // An entry that could not be written becomes an error, which is sent through here again.
    if (!event || entered.has(request)) return;
    entered.add(request);
    const intent = intents.get(request);
    const outcome = outcomeOf(reply.statusCode);
    const answer = { ...request.audited, status: reply.statusCode };
    try {
      if (intent) await audit.finish(intent, outcome, answer);
      else await audit.append({ ...event, details: { ...event.details, ...answer }, outcome });
    } catch (error) {
      if (outcome === 'done') throw error;
      // Nothing was changed, and a full disk must not hide from its owner that it is full. An intent that is left
      // becomes an entry at the next start.
      request.log.error({ err: error, request: request.id }, 'a refusal is not in the audit log');
    }
  });
}

/** Undefined where nothing can change, or nobody is known: who may not even come in fills no log. */
function eventOf(request: FastifyRequest): Omit<AuditEvent, 'outcome'> | undefined {
  const { principal, routeOptions } = request;
  const changesNothing = reading.has(request.method) && routeOptions.config.audited !== true;
  if (principal === undefined || changesNothing) return undefined;
  return {
    workspace: workspaceOf(request.params) ?? null,
    actor: { kind: principal.kind, id: principal.id, name: principal.name },
    from: request.ip,
    action: `${request.method} ${routeOptions.url ?? ''}`,
    target: request.url.split('?', 1)[0] ?? '',
    // To be compared, not to be read: a body may carry a secret.
    details: { request: request.id, ...(request.bodySha256 === undefined ? {} : { bodySha256: request.bodySha256 }) },
  };
}

function outcomeOf(status: number): AuditOutcome {
  return status < 400 ? 'done' : status < 500 ? 'refused' : 'failed';
}
