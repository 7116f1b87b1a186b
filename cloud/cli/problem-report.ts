/** A failed command's last words: the code, what was wrong, and the next step. */
import { AppError, type ErrorCode, toProblem } from '#shared/kernel/errors.js';
import { redact } from '#shared/kernel/redaction.js';
import { type OutputFormat, printable } from './output.js';

/** Where one command is what most people need next. */
const nextSteps: Partial<Record<ErrorCode, string>> = {
  'auth.missing': 'flotilla login <url> --token <token>',
  'auth.forbidden': 'ask an owner for a token with that role: flotilla token create --role <role>',
  'token.not-found': 'flotilla token list',
  'server.untrusted': 'flotilla login <url> --authority <sha256> --token <token>',
  'auth.invalid': 'flotilla login <url> --token <token>; the control plane printed its owner token at its first start',
  'workspace.not-found': 'flotilla workspace list',
  'model.not-found': 'flotilla model list',
  'model.in-use': 'flotilla device list shows what runs where; undeploy or replace it first',
  'image.not-found': 'flotilla image list',
  'image.in-use': 'flotilla device list shows what runs where; undeploy or replace it first',
  'module.not-found': 'flotilla device modules <device>',
  'device.not-found': 'flotilla device list',
  'device.offline': 'flotilla device show <device>; commands reach a device only while it is connected',
  'device.timeout': 'flotilla device show <device>, then try again',
  'activity.not-found': 'flotilla activity list',
  'activity.failed': 'flotilla activity log <id>',
  'enrolment.token-expired': 'flotilla device token',
  'enrolment.token-used': 'flotilla device token',
  'disk.full': 'free some space, then run the same command again',
};

const byRetry = {
  later: 'try again in a moment',
  changed: 'change what the message names, then try again',
  never: undefined,
} as const;

function nextStepOf(error: AppError, usage?: string): string | undefined {
  if (usage !== undefined) return usage;
  return nextSteps[error.code] ?? byRetry[error.traits.retry];
}

/**
 * @param usage what to run for help, when the command line itself was wrong
 * @returns text for standard error; of a bug, with its stack
 */
export function describeFailure(thrown: unknown, format: OutputFormat, usage?: string): string {
  const problem = toProblem(thrown);
  const message =
    thrown instanceof AppError
      ? // A secret that was put in the wrong argument must not reach the log of whatever runs this.
        printable(redact(thrown.message))
      : 'a bug in this command; please report it with the lines below';
  const next = thrown instanceof AppError ? nextStepOf(thrown, usage) : undefined;
  if (format === 'json') return `${JSON.stringify({ error: { ...problem, message, next } })}\n`;
  const lines = [`error ${problem.code}: ${message}`];
  if (next !== undefined) lines.push(`  next: ${next}`);
  const requestId = problem.details?.['requestId'];
  if (problem.code === 'internal' && typeof requestId === 'string') lines.push(`  request: ${printable(requestId)}`);
  if (!(thrown instanceof AppError))
    lines.push(thrown instanceof Error ? redact(thrown.stack ?? thrown.message) : 'no stack');
  return `${lines.join('\n')}\n`;
}
