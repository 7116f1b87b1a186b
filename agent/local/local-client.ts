/** Asks a running agent over its socket. */
import { AppError, isErrorCode, messageOf } from '#shared/kernel/errors.js';
import { askSocket } from '#shared/platform/ask-socket.js';
import { errno } from '#shared/platform/atomic-file.js';
import { problemSchema } from '#shared/protocol/primitives.js';

export interface Question {
  readonly method?: 'GET' | 'POST' | 'DELETE';
  readonly body?: unknown;
}

const timeoutMs = 10_000;
/** Logs of a device are the longest. */
const maxBytes = 64 * 1024 * 1024;

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

async function send(
  socketPath: string,
  path: string,
  { method = 'GET', body }: Question,
): Promise<{ status: number; body: unknown }> {
  try {
    const { status, bytes } = await askSocket({ socketPath, method, path, body, timeoutMs, maxBytes });
    return { status, body: JSON.parse(bytes.toString('utf8')) as unknown };
  } catch (error) {
    throw failure(socketPath, error);
  }
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
