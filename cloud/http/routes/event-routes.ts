import type { ServerResponse } from 'node:http';
import type { Clock } from '#shared/kernel/clock.js';
import type { Revocations } from '#cloud/auth/revocations.js';
import type { LiveEvent, LiveEvents } from '#cloud/live/live-events.js';
import type { Routes } from '../app.js';
import { securityHeaders } from '../plugins/security-headers.js';
import { workspaceParams } from '../schemas/common.js';

/** Proxies drop silent connections; a comment now and then keeps them. */
const heartbeatMs = 15_000;
/** A reader that is this far behind is cut off: it asks again and reads the state anew. */
const maxBufferedBytes = 1024 * 1024;

export interface EventRouteDeps {
  readonly live: LiveEvents;
  readonly revocations: Revocations;
  readonly clock: Clock;
}

/** Server-sent events: what changes in a workspace from now on. */
export function eventRoutes({ live, revocations, clock }: EventRouteDeps): Routes {
  return (app) => {
    const open = new Set<ServerResponse>();
    app.addHook('preClose', async () => {
      for (const response of open) response.end();
    });

    app.get(
      '/v1/workspaces/:workspace/events',
      {
        exposeHeadRoute: false,
        config: { role: 'reader' },
        schema: {
          tags: ['events'],
          summary: 'Server-sent events of what changes from now on',
          params: workspaceParams,
        },
      },
      (request, reply) => {
        reply.hijack();
        const response = reply.raw;
        response.writeHead(200, {
          'content-type': 'text/event-stream; charset=utf-8',
          'cache-control': 'no-store',
          'x-request-id': request.id,
          'x-accel-buffering': 'no',
          ...securityHeaders,
        });
        response.write(': connected\n\n');
        open.add(response);
        const unsubscribe = live.subscribe(request.params.workspace, (event) => {
          if (response.writableLength > maxBufferedBytes) response.destroy();
          else response.write(encodeEvent(event));
          // A workspace of the same name that is made later is none of this reader's business.
          if (event.type === 'workspace.deleted') response.end();
        });
        const { principal } = request;
        const unwatch = principal && revocations.watch(principal, clock.now(), () => response.end());
        const heartbeat = setInterval(() => response.write(': still here\n\n'), heartbeatMs);
        response.on('error', (error) => {
          request.log.debug({ err: error }, 'event stream broken');
        });
        response.once('close', () => {
          clearInterval(heartbeat);
          unsubscribe();
          unwatch?.();
          open.delete(response);
        });
      },
    );
  };
}

/** JSON has no raw line breaks, so one data line holds it. */
export function encodeEvent(event: LiveEvent): string {
  return `event: ${event.type}\ndata: ${JSON.stringify({ subject: event.subject, data: event.data })}\n\n`;
}
