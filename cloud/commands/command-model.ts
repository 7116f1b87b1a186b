/** One command to many devices, as data, and what becomes of it on each. Pure. Instants are epoch milliseconds. */
import type { Problem } from '#shared/kernel/errors.js';
import type { Operation } from '#shared/protocol/commands.js';

/** Those that make sense for many. */
export const jobOperations = ['ping', 'restart', 'logs', 'score', 'refresh'] as const satisfies Operation[];
export type JobOperation = (typeof jobOperations)[number];

export const jobStates = [
  'running',
  /** Nothing new is sent; what was sent may still be answered. */
  'cancelling',
  'done',
  'cancelled',
] as const;
export type JobState = (typeof jobStates)[number];

export const commandStandings = [
  'waiting',
  'sent',
  'done',
  /** The device answered that it could not. */
  'failed',
  /** No answer by the deadline: away, silent, or its turn did not come. */
  'unreachable',
  'cancelled',
] as const;
export type Standing = (typeof commandStandings)[number];

export interface JobAddress {
  readonly workspace: string;
  readonly number: number;
}

export interface CommandJob extends JobAddress {
  readonly operation: JobOperation;
  readonly arguments: Readonly<Record<string, unknown>>;
  readonly fleet?: string | undefined;
  readonly query: string;
  readonly concurrency: number;
  /** How long one device may take. */
  readonly timeoutMs: number;
  readonly deadlineAt: number;
  readonly nonce: string;
  readonly state: JobState;
  readonly devices: number;
  readonly answerBytes: number;
  readonly schedule?: string | undefined;
  readonly createdAt: string;
  readonly createdBy: string;
  readonly endedAt?: string | undefined;
}

/** What is known of a device when its time is over. */
export interface Seen {
  readonly online: boolean;
  readonly presenceAt: string | null;
  readonly retired: boolean;
}

/** Why a device that was not sent the command until the deadline never will be. */
export function unsentProblem(device: string, seen: Seen, deadlineMs: number): Problem {
  const within = `within ${seconds(deadlineMs)}`;
  if (seen.retired) return { code: 'device.retired', message: `${device} was retired` };
  if (!seen.online) return { code: 'device.offline', message: `it ${lastSeen(seen)} and did not come back ${within}` };
  return {
    code: 'device.timeout',
    message: `its turn did not come ${within}: a higher concurrency or a later deadline helps`,
  };
}

/** Why a device that was sent it has not answered. */
export function silentProblem(seen: Seen, waitedMs: number): Problem {
  const within = `within ${seconds(waitedMs)}`;
  if (!seen.online) return { code: 'device.offline', message: `it ${lastSeen(seen)} and did not answer ${within}` };
  return { code: 'device.timeout', message: `it is online and did not answer ${within}: a longer timeout may help` };
}

function lastSeen({ presenceAt }: Seen): string {
  return presenceAt === null ? 'has never connected' : `was last seen at ${presenceAt}`;
}

function seconds(ms: number): string {
  return `${String(Math.round(ms / 100) / 10)} s`;
}

export function isOver(state: JobState): boolean {
  return state === 'done' || state === 'cancelled';
}

/** Of all answers of a job together; what comes later is not kept, only that it came. */
export const keptAnswerBytes = 64 * 1024 * 1024;
