/** What each direct command does on this device. */
import { request } from 'node:http';
import { AppError, type ErrorCode, messageOf } from '#shared/kernel/errors.js';
import type { OperationArguments, OperationResult } from '#shared/protocol/commands.js';
import { maxMessageBytes } from '#shared/protocol/decode.js';
import { maxResultBytes, type OperationExecutors } from '#agent/commands/command-runner.js';
import type { Diagnosis } from '#agent/diagnosis/diagnosis.js';
import type { LogRings } from '#agent/local/log-rings.js';
import { agentVersion } from '#agent/version.js';

export interface OperationPorts {
  readonly uptimeSeconds: () => number;
  /** With what opens it: the control token. */
  readonly scoring: { readonly address: string; readonly port: number; readonly token: string | undefined };
  readonly isServed: (module: string) => boolean;
  readonly bootId: number;
  readonly logs: Pick<LogRings, 'read' | 'follow' | 'count'>;
  readonly restart: (module: string) => Promise<void>;
  /** Asks for its documents anew and reports the whole. @returns the generation it has */
  readonly refresh: () => Promise<number>;
  readonly diagnosis: Diagnosis;
}

export function createOperations(ports: OperationPorts): OperationExecutors {
  const requireServed = (module: string): void => {
    if (!ports.isServed(module)) {
      throw new AppError('module.not-found', `no module "${module}" answers on this device; deploy it first`);
    }
  };
  return {
    ping: async () => ({ agentVersion, uptimeSeconds: ports.uptimeSeconds() }),
    score: async ({ module, input }, signal) => {
      requireServed(module);
      return score(ports.scoring, `/score/${module}`, JSON.stringify(input), signal);
    },
    logs: (args, signal) => readLogs(ports, args, signal),
    restart: async ({ module }) => {
      requireServed(module);
      await ports.restart(module);
      return {};
    },
    refresh: async () => ({ generation: await ports.refresh() }),
    explain: async () => ({ explanation: ports.diagnosis.explain() }),
    check: async () => ({ findings: await ports.diagnosis.check() }),
    bundle: () => ports.diagnosis.makeBundle(),
    'bundle-read': async ({ digest, offset }) => ({ bytes: await ports.diagnosis.readBundle(digest, offset) }),
  };
}

/** A place in a log is the boot and the lines since: after a restart, everything since then is new. */
async function readLogs(
  { logs, bootId }: OperationPorts,
  { module, lines, after, waitSeconds = 0 }: OperationArguments<'logs'>,
  signal: AbortSignal,
): Promise<OperationResult<'logs'>> {
  const place = (count: number): string => `${String(bootId)}-${String(count)}`;
  if (after === undefined) return { lines: fitting(logs.read(module, lines)), next: place(logs.count(module)) };
  const [boot, count] = after.split('-').map(Number);
  const from = boot === bootId && count !== undefined && Number.isSafeInteger(count) ? count : 0;
  const until = AbortSignal.any([signal, AbortSignal.timeout(waitSeconds * 1000)]);
  const part = await logs.follow(module, from, lines, until);
  const fits = fitting(part.lines);
  return { lines: fits, next: place(part.next), missed: part.missed + part.lines.length - fits.length };
}

interface Scored {
  readonly status: number;
  readonly headers: Record<string, string>;
  readonly output: Json;
}

type Json = string | number | boolean | null | Json[] | { [key: string]: Json };

/** By the device's own port, as any local caller. A refusal of the scoring host is the command's failure. */
function score(
  { address, port, token }: OperationPorts['scoring'],
  path: string,
  body: string,
  signal: AbortSignal,
): Promise<Scored> {
  return new Promise((resolve, reject) => {
    const fail = (error: unknown): void =>
      reject(
        signal.aborted
          ? new AppError('score.timeout', 'the module did not answer by the deadline')
          : new AppError('score.not-ready', `the scoring host did not answer: ${messageOf(error)}`, { cause: error }),
      );
    const sent = request(
      {
        host: address,
        port,
        path,
        method: 'POST',
        signal,
        agent: false,
        headers: {
          'content-type': 'application/json',
          'content-length': Buffer.byteLength(body),
          ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
        },
      },
      (response) => {
        const parts: Buffer[] = [];
        let bytes = 0;
        response.on('data', (part: Buffer) => {
          bytes += part.length;
          if (bytes <= maxMessageBytes) parts.push(part);
        });
        response.on('error', fail);
        response.on('end', () => {
          if (bytes > maxResultBytes) {
            reject(tooLarge(bytes));
            return;
          }
          try {
            resolve(readScored(response.statusCode ?? 0, response.headers, Buffer.concat(parts)));
          } catch (error) {
            reject(error instanceof Error ? error : new Error(String(error)));
          }
        });
      },
    );
    sent.on('error', fail);
    sent.end(body);
  });
}

function readScored(status: number, headers: Record<string, string | string[] | undefined>, bytes: Buffer): Scored {
  const output = parseJson(bytes);
  if (status >= 400) {
    const message =
      typeof output === 'object' && output !== null && !Array.isArray(output) ? output['message'] : output;
    const text = typeof message === 'string' ? message : JSON.stringify(output);
    throw new AppError(codeOf(status), text.slice(0, 2000), { details: { status } });
  }
  const kept = Object.entries(headers).filter(([name]) => name.startsWith('flotilla-') || name === 'content-type');
  return { status, headers: Object.fromEntries(kept.map(([name, value]) => [name, String(value)])), output };
}

/** The scoring face says by its status what the code was. */
function codeOf(status: number): ErrorCode {
  switch (status) {
    case 400:
    case 422:
      return 'score.invalid-input';
    case 404:
      return 'module.not-found';
    case 413:
      return 'request.too-large';
    case 415:
      return 'request.unsupported-type';
    case 429:
      return 'score.overloaded';
    case 503:
      return 'score.not-ready';
    case 504:
      return 'score.timeout';
    default:
      return 'score.failed';
  }
}

/** What is not JSON travels as text. */
function parseJson(bytes: Buffer): Json {
  const text = bytes.toString('utf8');
  try {
    return JSON.parse(text) as Json;
  } catch {
    return text;
  }
}

function tooLarge(bytes: number): AppError {
  return new AppError(
    'message.too-large',
    `the answer has ${String(bytes)} bytes, and a command's answer at most ${String(maxResultBytes)}: ask the device's own HTTP port`,
  );
}

/** The newest lines that fit an answer. */
function fitting(lines: readonly string[]): string[] {
  const kept: string[] = [];
  let bytes = 1024;
  for (const line of lines.toReversed()) {
    bytes += Buffer.byteLength(JSON.stringify(line)) + 1;
    if (bytes > maxResultBytes) break;
    kept.unshift(line);
  }
  return kept;
}
