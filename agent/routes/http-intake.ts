/**
 * What is posted to `/routes/<module>/<name>` of the scoring port comes here, over a Unix socket, from whichever
 * scoring host accepted it, which has judged who may.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { chmod, rm } from 'node:fs/promises';
import { AppError, toProblem } from '#shared/kernel/errors.js';
import { BodyReader } from '#shared/scoring/body-reader.js';
import type { Routes } from './routes.js';

export interface IntakePorts {
  readonly socket: string;
  readonly maxBodyBytes: number;
  readonly routes: () => Pick<Routes, 'post' | 'roomFor'>;
}

export async function openHttpIntake(ports: IntakePorts): Promise<{ close(): Promise<void> }> {
  const bodies = new BodyReader(ports.maxBodyBytes);
  const server = createServer((request, response) => {
    take(request, response, bodies, ports).catch((error: unknown) => {
      const { code, message } = toProblem(error);
      const status = error instanceof AppError ? error.traits.status : 500;
      answer(response, status, { message, code });
    });
  });
  await rm(ports.socket, { force: true });
  await listen(server, ports.socket);
  await chmod(ports.socket, 0o600);
  return {
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

async function take(
  request: IncomingMessage,
  response: ServerResponse,
  bodies: BodyReader,
  { routes }: IntakePorts,
): Promise<void> {
  const [, module = '', address = ''] = (request.url ?? '').split('/');
  const most = routes().roomFor(module, address);
  if (most === undefined) throw unknown(module, address);
  await bodies.withBody(request, 0, ({ buffer, start, length }) => {
    // The buffer may be used again.
    const bytes = Buffer.from(new Uint8Array(buffer, start, length));
    switch (routes().post(module, address, bytes)) {
      case 'taken':
        answer(response, 202, { queued: true });
        break;
      case 'full':
        response.setHeader('retry-after', '1');
        answer(response, 429, {
          message: `the queue of ${module}/${address} is full: try again shortly`,
          code: 'rate.limited',
        });
        break;
      case 'too-large':
        throw new AppError('request.too-large', `${module}/${address} takes at most ${String(most)} bytes`);
      case 'unknown':
        throw unknown(module, address);
    }
    return Promise.resolve();
  });
}

function unknown(module: string, address: string): AppError {
  return new AppError(
    'request.not-found',
    `no route of module "${module}" takes what is posted to "${address}": flotilla-agent status lists routes`,
  );
}

function answer(response: ServerResponse, status: number, body: object): void {
  if (response.headersSent) {
    response.destroy();
    return;
  }
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify(body));
}

function listen(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(path, () => resolve());
  });
}
