/**
 * The agent's own HTTP face, on a Unix socket that only its user, or one group, may open: what it does, why it
 * waits, what it logged, and who may score. It works without the cloud.
 */
import { chmod, chown, lstat, rm } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { connect } from 'node:net';
import * as z from 'zod';
import { AppError, messageOf, toProblem } from '#shared/kernel/errors.js';
import { isName, nearest } from '#shared/kernel/names.js';
import { checkMessage } from '#shared/protocol/decode.js';
import { nameSchema } from '#shared/protocol/primitives.js';
import type { StatusView } from '#agent/local/explanation.js';
import type { ModuleControl } from '#agent/local/module-control.js';
import type { KeyView, MadeKey } from '#agent/local/scoring-keys.js';

export interface DeviceFace {
  readonly status: () => StatusView;
  readonly explain: () => unknown;
  readonly logs: (module: string | undefined, lines: number) => readonly string[];
  readonly rollback: ModuleControl['rollback'];
  readonly defer: ModuleControl['defer'];
}

export interface LocalFace extends DeviceFace {
  readonly keys: {
    readonly list: () => readonly KeyView[];
    /** Resolves once it counts. */
    readonly create: (name: string) => Promise<MadeKey>;
    /** Resolves once nobody is answered for it any more. */
    readonly revoke: (name: string) => Promise<void>;
  };
}

export interface LocalApi {
  close(): Promise<void>;
}

const maxBodyBytes = 4096;

/** @param groupId of a group whose members may ask too */
export async function openLocalApi(socket: string, face: LocalFace, groupId?: number): Promise<LocalApi> {
  await clearTheWay(socket);
  const server = createServer((request, response) => void respond(request, response, face));
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    // Bound within this turn: it is never open to others, not for a moment.
    const before = process.umask(0o177);
    server.listen(socket, () => resolve());
    process.umask(before);
  });
  try {
    if (groupId !== undefined) await chown(socket, -1, groupId);
    await chmod(socket, groupId === undefined ? 0o600 : 0o660);
  } catch (error) {
    await close(server, socket);
    throw new AppError('config.invalid', `${socket} cannot be given to group ${String(groupId)}: ${messageOf(error)}`, {
      cause: error,
    });
  }
  return { close: () => close(server, socket) };
}

/** What an agent that was killed left. Anything else was put there by somebody who may need it. */
async function clearTheWay(socket: string): Promise<void> {
  const there = await lstat(socket).catch(() => undefined);
  if (there === undefined) return;
  if (!there.isSocket()) {
    throw new AppError('config.invalid', `local.socket: ${socket} is there, and is no socket: choose another path`);
  }
  if (await answers(socket)) {
    throw new AppError(
      'already.running',
      `another agent answers on ${socket}: stop it, or choose another local.socket`,
    );
  }
  await rm(socket, { force: true });
}

function answers(socket: string): Promise<boolean> {
  return new Promise((resolve) => {
    const connection = connect(socket);
    connection.once('connect', () => {
      connection.destroy();
      resolve(true);
    });
    connection.once('error', () => resolve(false));
  });
}

async function respond(request: IncomingMessage, response: ServerResponse, face: LocalFace): Promise<void> {
  try {
    refusePages(request);
    send(response, 200, await answer(request, face));
  } catch (error) {
    const status = error instanceof AppError ? error.traits.status : 500;
    send(response, status, toProblem(error));
  }
}

/** No browser opens a Unix socket; what stands between one and us was put there by mistake. */
function refusePages({ headers }: IncomingMessage): void {
  if (headers.origin === undefined && headers['sec-fetch-site'] === undefined) return;
  throw new AppError('request.wrong-origin', 'the agent answers programs of this machine, not web pages');
}

type Answer = (url: URL, body: () => Promise<unknown>, name: string) => unknown;

/** By method and path; a path that ends in a slash goes on with a name. */
function answersOf(face: LocalFace): Readonly<Record<string, Answer>> {
  return {
    'GET /status': () => face.status(),
    'GET /explain': () => face.explain(),
    'GET /logs': ({ searchParams }) => {
      const module = searchParams.get('module') ?? undefined;
      if (module !== undefined && !isName(module)) throw new AppError('request.invalid', 'module: not a module name');
      const lines = Number(searchParams.get('lines') ?? '100');
      if (!Number.isInteger(lines) || lines < 1 || lines > 10_000) {
        throw new AppError('request.invalid', 'lines: a whole number from 1 to 10000');
      }
      return { lines: face.logs(module, lines) };
    },
    'POST /rollback': async (_url, body) => face.rollback(asked(rollbackSchema, await body()).module),
    'POST /defer': async (_url, body) => {
      const { module, seconds, reason } = asked(deferSchema, await body());
      return face.defer(module, seconds * 1000, reason);
    },
    'GET /keys': () => ({ keys: face.keys.list() }),
    'POST /keys': async (_url, body) => face.keys.create(nameIn(await body())),
    'DELETE /keys/': async (_url, _body, name) => {
      await face.keys.revoke(name);
      return { revoked: name };
    },
  };
}

function answer(request: IncomingMessage, face: LocalFace): unknown {
  const { method = '', url: target = '/' } = request;
  if (!URL.canParse(target, 'http://agent')) throw new AppError('request.invalid', 'this is no path');
  const url = new URL(target, 'http://agent');
  const [, head = '', name = ''] = /^(\/[^/]*\/?)(.*)$/.exec(url.pathname) ?? [];
  const answers = answersOf(face);
  const found = Object.hasOwn(answers, `${method} ${head}`) ? answers[`${method} ${head}`] : undefined;
  if (found !== undefined && head.endsWith('/') === (name !== '')) return found(url, () => readJson(request), name);
  const here = Object.keys(answers).filter((one) => one.endsWith(` ${head}`));
  if (here.length > 0) {
    throw new AppError(
      'request.method-not-allowed',
      `${method} is not for ${url.pathname}; there is ${here.join(', ')}`,
    );
  }
  const near = nearest(url.pathname, ['/status', '/explain', '/logs', '/rollback', '/defer', '/keys']);
  const known = near ?? '/status, /explain, /logs, /rollback, /defer and /keys';
  throw new AppError('request.not-found', `no ${url.pathname} here; there is ${known}`);
}

const rollbackSchema = z.strictObject({ module: nameSchema });
const deferSchema = z.strictObject({
  module: nameSchema,
  /** At most a week; 0 takes it back. */
  seconds: z.number().min(0).max(604_800),
  reason: z.string().max(256).default(''),
});

function asked<S extends z.ZodType>(schema: S, body: unknown): z.output<S> {
  const checked = checkMessage(schema, body);
  if (checked.ok) return checked.value;
  throw new AppError('request.invalid', checked.error.message);
}

function nameIn(body: unknown): string {
  const name: unknown = typeof body === 'object' && body !== null && 'name' in body ? body.name : undefined;
  if (typeof name !== 'string') throw new AppError('request.invalid', 'send {"name": "…"}');
  return name;
}

async function readJson(request: IncomingMessage): Promise<unknown> {
  const parts: Buffer[] = [];
  let size = 0;
  for await (const part of request as AsyncIterable<Buffer>) {
    size += part.length;
    if (size <= maxBodyBytes) parts.push(part);
  }
  if (size > maxBodyBytes) throw new AppError('request.too-large', `at most ${String(maxBodyBytes)} bytes`);
  try {
    return JSON.parse(Buffer.concat(parts).toString('utf8'));
  } catch {
    throw new AppError('request.invalid', 'the body must be JSON');
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
