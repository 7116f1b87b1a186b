/**
 * The agent's own HTTP face, on a Unix socket that only its user may open: what it does, why it waits,
 * what it logged. It works without the cloud.
 */
import { chmod, rm } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { AppError, toProblem } from '#shared/kernel/errors.js';
import { isName } from '#shared/kernel/names.js';

export interface LocalFace {
  readonly status: () => unknown;
  readonly explain: () => unknown;
  readonly logs: (module: string | undefined, lines: number) => readonly string[];
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
  try {
    send(response, 200, answer(request, face));
  } catch (error) {
    const status = error instanceof AppError ? error.traits.status : 500;
    send(response, status, toProblem(error));
  }
}

function answer(request: IncomingMessage, face: LocalFace): unknown {
  const url = new URL(request.url ?? '/', 'http://agent');
  if (request.method !== 'GET') {
    throw new AppError('request.method-not-allowed', `${request.method ?? ''} is not for ${url.pathname}; use GET`);
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
    default:
      throw new AppError('request.not-found', `no ${url.pathname} here; there are /status, /explain and /logs`);
  }
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
