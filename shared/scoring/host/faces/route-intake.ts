/**
 * `POST /routes/{module}/{name}`: passed on to whoever owns the routes of this device, who says whether it is
 * queued. The same owner whichever version of a module answers, so that what is queued outlives a switch.
 */
import { request as ask } from 'node:http';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { AppError, messageOf } from '#shared/kernel/errors.js';
import { isName } from '#shared/kernel/names.js';
import { tooSlow, watchPace } from '../../body-pace.js';
import { tooLarge } from '../../body-reader.js';
import { pumpBody } from '../../pump-body.js';
import { refuseOtherMethods } from '../allowed-methods.js';
import type { ScoringHost } from '../scoring-host.js';

const url = '/routes/:module/:name';

export function routeIntake(app: FastifyInstance, host: ScoringHost): void {
  app.post(url, async (request, reply) => {
    const { module, name } = request.params as { readonly module: string; readonly name: string };
    if (host.routesSocket === undefined || !isName(module) || !isName(name)) {
      throw new AppError(
        'request.not-found',
        `no route takes what is posted to ${request.url.split('?')[0] ?? ''} here`,
      );
    }
    if (Number(request.headers['content-length'] ?? 0) > host.maxBodyBytes) throw tooLarge(host.maxBodyBytes);
    await passOn(request, reply, host, host.routesSocket, `/${module}/${name}`);
    return reply;
  });
  refuseOtherMethods(app, url, ['POST']);
}

/** The owner bounds what it reads; a client that is too slow is given up here. */
function passOn(
  { raw }: FastifyRequest,
  reply: FastifyReply,
  { bodyPace }: ScoringHost,
  socketPath: string,
  path: string,
): Promise<void> {
  const { 'content-length': length } = raw.headers;
  const unwatch = watchPace(raw, bodyPace);
  return new Promise<void>((resolve, reject) => {
    const fail = (error: unknown): void => {
      sent.destroy();
      raw.resume();
      if (error instanceof AppError) reject(error);
      else reject(new AppError('score.not-ready', `routes take nothing now: ${messageOf(error)}`, { cause: error }));
    };
    const sent = ask(
      {
        socketPath,
        path,
        method: 'POST',
        agent: false,
        headers: length === undefined ? {} : { 'content-length': length },
      },
      (answer) => {
        const retry = answer.headers['retry-after'];
        if (retry !== undefined) void reply.header('retry-after', retry);
        raw.resume();
        void reply
          .code(answer.statusCode ?? 500)
          .type('application/json')
          .send(answer);
        resolve();
      },
    );
    // Written to after it ended, it tells of that too.
    sent.on('error', fail);
    raw.once(tooSlow, fail);
    raw.once('close', () => {
      if (!raw.complete) sent.destroy();
    });
    pumpBody(raw, sent);
  }).finally(unwatch);
}
