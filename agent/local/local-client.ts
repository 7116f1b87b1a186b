/** Asks a running agent over its socket. */
import { request } from 'node:http';
import { AppError, isErrorCode, messageOf } from '#shared/kernel/errors.js';
import { errno } from '#shared/platform/atomic-file.js';
import { problemSchema } from '#shared/protocol/primitives.js';

export interface Question {
  readonly method?: 'GET' | 'POST' | 'DELETE';
  readonly body?: unknown;
}

/** @throws AppError `server.unreachable` when no agent runs on this state folder, `auth.forbidden` when we may not ask */
export async function askAgent(socketPath: string, path: string, question: Question = {}): Promise<unknown> {
  const { status, body } = await send(socketPath, path, question);
  if (status === 200) return body;
  const problem = problemSchema.safeParse(body);
  if (problem.success && isErrorCode(problem.data.code)) throw new AppError(problem.data.code, problem.data.message);
  throw new AppError(
    'server.incompatible',
    `what answers on ${socketPath} is no agent (HTTP status ${String(status)})`,
  );
}

function send(socketPath: string, path: string, question: Question): Promise<{ status: number; body: unknown }> {
  const { method = 'GET', body } = question;
  return new Promise((resolve, reject) => {
    const fail = (error: unknown): void => reject(failure(socketPath, error));
    const sent = request({ socketPath, path, method, timeout: 10_000 }, (response) => {
      const parts: Buffer[] = [];
      response.on('data', (part: Buffer) => parts.push(part));
      response.on('error', fail);
      response.on('end', () => {
        try {
          resolve({
            status: response.statusCode ?? 0,
            body: JSON.parse(Buffer.concat(parts).toString('utf8')) as unknown,
          });
        } catch (error) {
          fail(error);
        }
      });
    });
    sent.on('timeout', () => sent.destroy(new Error('no answer in time')));
    sent.on('error', fail);
    sent.end(body === undefined ? undefined : JSON.stringify(body));
  });
}

function failure(socketPath: string, error: unknown): AppError {
  if (errno(error) === 'EACCES') {
    return new AppError(
      'auth.forbidden',
      `${socketPath} is not open to you: ask as the agent's user, or as a member of the group that local.socketGroup names`,
      { cause: error },
    );
  }
  return new AppError(
    'server.unreachable',
    `no agent answers on ${socketPath}: start it with "flotilla-agent run", or name its folder with --state-dir (${messageOf(error)})`,
    { cause: error },
  );
}
