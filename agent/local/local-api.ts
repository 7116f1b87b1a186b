/**
 * The agent's own HTTP face, on a Unix socket that only its user may open: what it does, why it waits,
 * what it logged. It works without the cloud.
 */
import { chmod, rm } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { AppError, toProblem } from '#shared/kernel/errors.js';
import { isName } from '#shared/kernel/names.js';
import type { ModuleControl } from '#agent/local/module-control.js';

export interface LocalFace {
  readonly status: () => unknown;
  readonly explain: () => unknown;
  readonly logs: (module: string | undefined, lines: number) => readonly string[];
  readonly rollback: ModuleControl['rollback'];
  readonly defer: ModuleControl['defer'];
}

export interface LocalApi {
  close(): Promise<void>;
}

export async function openLocalApi(socket: string, face: LocalFace): Promise<LocalApi> {
  await rm(socket, { force: true });
  const server = createServer((request, response) => respond(request, response, face));
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(socket, () => resolve());
  });
  await chmod(socket, 0o600);
  return { close: () => close(server, socket) };
}

function respond(request: IncomingMessage, response: ServerResponse, face: LocalFace): void {
  request.resume();
  answer(request, face).then(
    (body) => send(response, 200, body),
    (error: unknown) => send(response, error instanceof AppError ? error.traits.status : 500, toProblem(error)),
  );
}

/** What changes something; everything else is asked with GET. */
const changes = ['/rollback', '/defer'];

async function answer(request: IncomingMessage, face: LocalFace): Promise<unknown> {
  const url = new URL(request.url ?? '/', 'http://agent');
  const method = changes.includes(url.pathname) ? 'POST' : 'GET';
  if (request.method !== method) {
    throw new AppError(
      'request.method-not-allowed',
      `${request.method ?? ''} is not for ${url.pathname}; use ${method}`,
    );
  }
  switch (url.pathname) {
    case '/status':
      return face.status();
    case '/explain':
      return face.explain();
    case '/logs': {
      const module = url.searchParams.get('module') ?? undefined;
      if (module !== undefined && !isName(module)) throw new AppError('request.invalid', 'module: not a module name');
      const lines = Number(url.searchParams.get('lines') ?? '100');
      if (!Number.isInteger(lines) || lines < 1 || lines > 10_000) {
        throw new AppError('request.invalid', 'lines: a whole number from 1 to 10000');
      }
      return { lines: face.logs(module, lines) };
    }
    case '/rollback':
      return face.rollback(moduleIn(url));
    case '/defer': {
      const seconds = Number(url.searchParams.get('seconds') ?? Number.NaN);
      if (!(seconds >= 0 && seconds <= maxDeferSeconds)) {
        throw new AppError('request.invalid', `seconds: a number from 0 to ${String(maxDeferSeconds)}`);
      }
      const reason = (url.searchParams.get('reason') ?? '').slice(0, 256);
      return face.defer(moduleIn(url), seconds * 1000, reason);
    }
    default:
      throw new AppError(
        'request.not-found',
        `no ${url.pathname} here; there are /status, /explain, /logs, /rollback and /defer`,
      );
  }
}

/** A week. */
const maxDeferSeconds = 604_800;

function moduleIn(url: URL): string {
  const module = url.searchParams.get('module') ?? '';
  if (!isName(module)) throw new AppError('request.invalid', 'module: not a module name');
  return module;
}

function send(response: ServerResponse, status: number, body: unknown): void {
  const text = JSON.stringify(body);
  response.writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) });
  response.end(text);
}

async function close(server: Server, socket: string): Promise<void> {
  await new Promise<void>((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
  await rm(socket, { force: true });
}
