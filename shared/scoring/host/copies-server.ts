/**
 * Answers copies of requests that another host serves live, on a Unix socket that only this user may open:
 * `POST /infer`, `/score` and `/predict` with the body as the client sent it. It says how long the run took, as the
 * live host measures its own.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { AppError, toProblem } from '#shared/kernel/errors.js';
import { jsonLengthHeader, jsonLengthOf } from '../codec/json-length.js';
import { problemHeader } from '../script-host/problem-header.js';
import { ranHeader } from '../traffic/shadow-door.js';
import type { BodyForm } from '../worker/worker-protocol.js';
import { faultOf } from './faults.js';
import type { ModuleVersion } from './models-server.js';
import type { ScoringHost } from './scoring-host.js';

const forms: ReadonlyMap<string, BodyForm> = new Map([
  ['/infer', 'infer'],
  ['/score', 'score'],
  ['/predict', 'predict'],
]);
/** As a copy's asker waits. */
const deadlineMs = 30_000;

export function createCopiesServer(host: ScoringHost, only: ModuleVersion): Server {
  return createServer({ noDelay: true }, (request, response) => {
    answer(host, only, request, response).catch((error: unknown) => {
      const fault = faultOf(error, 'score');
      response.writeHead(fault.status, { ...fault.headers, [problemHeader]: toProblem(error).code });
      response.end(JSON.stringify(fault.body));
    });
  });
}

async function answer(
  host: ScoringHost,
  { name, version }: ModuleVersion,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const form = request.method === 'POST' ? forms.get(request.url ?? '') : undefined;
  if (form === undefined) throw new AppError('request.not-found', 'only copies of requests are answered here');
  const module = host.find(name, String(version));
  const jsonLength = jsonLengthOf(request.headers);
  const { clock } = host;
  let startedMs = 0;
  const encoded = await host.bodies.withBody(request, jsonLength ?? 0, (body) => {
    startedMs = clock.monotonic();
    const abandoned = (): boolean => request.socket.destroyed;
    return module.answer({ form, body, jsonLength, abandoned, priority: 0, deadlineMs: startedMs + deadlineMs });
  });
  response.writeHead(200, {
    'content-type': 'application/octet-stream',
    'content-length': encoded.body.length,
    [ranHeader]: String(clock.monotonic() - startedMs),
    ...(encoded.jsonLength === undefined ? {} : { [jsonLengthHeader]: encoded.jsonLength }),
  });
  response.end(encoded.body);
}
