/** Commands to many devices in words. Pure. */
import type { JobOperation } from '#cloud/commands/command-model.js';
import type { CommandDeviceBody, CommandJobBody } from '#cloud/http/schemas/commands.js';
import { operations } from '#shared/protocol/commands.js';
import { formatAge, formatFields, formatList, formatTable, printable } from './output.js';

/** So many rows of those that did it are worth showing; of a larger fleet only the others are. */
export const shownWhole = 50;
const answerWidth = 100;

export function describeJobs(jobs: readonly CommandJobBody[], now: number): string {
  return formatList(
    jobs,
    ['COMMAND', 'OPERATION', 'DEVICES OF', 'STATE', 'STANDINGS', 'BEGUN'],
    (job) => [
      String(job.number),
      job.operation,
      targetText(job),
      job.state,
      standingsText(job.standings),
      formatAge(job.createdAt, now),
    ],
    'no commands; flotilla command run ping --fleet <fleet> sends one',
  );
}

export function describeJob(job: CommandJobBody): string {
  const { number, operation, state, devices, standings, deadline, createdAt, createdBy, schedule, endedAt } = job;
  return formatFields([
    ['command', `${String(number)}  ${operation}`],
    ['devices', `${String(devices)} of ${targetText(job)}`],
    ['state', state],
    ['standings', standingsText(standings)],
    ['at once', String(job.concurrency)],
    ['deadline', deadline],
    ['begun', `${createdAt} by ${createdBy}${schedule === undefined ? '' : ` (schedule ${schedule})`}`],
    ['ended', endedAt],
  ]);
}

/** One line while it is under way. */
export function progressOf({ operation, number, devices, standings }: CommandJobBody): string {
  const { waiting = 0, sent = 0, ...ended } = standings;
  const done = devices - waiting - sent;
  const more = Object.keys(ended).length === 0 ? '' : ` (${standingsText(ended)})`;
  return `command ${String(number)}, ${operation}: ${String(done)} of ${String(devices)}${more}, ${String(sent)} at work`;
}

/** What each device answered; of a large fleet only those where it did not go well, unless all are wanted. */
export function describeResults(job: CommandJobBody, results: readonly CommandDeviceBody[], whole: boolean): string {
  const { operation, number } = job;
  const everything = whole || results.length <= shownWhole;
  const lines = operation === 'logs' ? logLines(results) : '';
  const rows = results.filter(({ standing }) => (everything && operation !== 'logs') || standing !== 'done');
  const table =
    rows.length === 0
      ? ''
      : formatTable(
          ['DEVICE', 'STATE', 'MS', 'ANSWER'],
          rows.map((row) => [
            row.device,
            row.standing,
            row.milliseconds === undefined ? '-' : String(row.milliseconds),
            row.problem === undefined
              ? answerText(operation, row.answer)
              : `${row.problem.code}: ${row.problem.message}`,
          ]),
        );
  const left =
    everything || operation === 'logs' ? '' : `flotilla command show ${String(number)} --all shows the others\n`;
  return `${lines}${table}${standingsText(job.standings)} of ${String(job.devices)} devices\n${left}`;
}

function logLines(results: readonly CommandDeviceBody[]): string {
  return results
    .flatMap(({ device, answer }) => {
      const read = operations.logs.result.safeParse(answer);
      return read.success ? read.data.lines.map((line) => `${device}  ${printable(line)}\n`) : [];
    })
    .join('');
}

function answerText(operation: JobOperation, answer: unknown): string {
  switch (operation) {
    case 'ping': {
      const read = operations.ping.result.safeParse(answer);
      return read.success ? `agent ${read.data.agentVersion}, up for ${String(read.data.uptimeSeconds)} s` : '-';
    }
    case 'refresh': {
      const read = operations.refresh.result.safeParse(answer);
      return read.success ? `generation ${String(read.data.generation)}` : '-';
    }
    case 'score': {
      const read = operations.score.result.safeParse(answer);
      return read.success ? cut(JSON.stringify(read.data.output)) : '-';
    }
    case 'restart':
    case 'logs':
      return '-';
  }
}

function cut(text: string): string {
  return text.length <= answerWidth ? text : `${text.slice(0, answerWidth)}…`;
}

function targetText({ fleet, where }: Pick<CommandJobBody, 'fleet' | 'where'>): string {
  return fleet ?? `'${where}'`;
}

export function standingsText(standings: Readonly<Record<string, number | undefined>>): string {
  const parts = Object.entries(standings).map(([standing, count]) => `${String(count)} ${standing}`);
  return parts.length === 0 ? '-' : parts.sort().join(', ');
}
