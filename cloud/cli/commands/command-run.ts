/** `flotilla command run ping | restart | logs | score | refresh`: now, or when a schedule says. */
import { Command, Option } from 'commander';
import * as z from 'zod';
import { toInstant } from '#shared/kernel/clock.js';
import { AppError } from '#shared/kernel/errors.js';
import { routes } from '#cloud/client/routes.js';
import type { JobOperation } from '#cloud/commands/command-model.js';
import type { CommandJobCreate } from '#cloud/http/schemas/commands.js';
import type { scheduleCreate } from '#cloud/http/schemas/schedules.js';
import { parseCount, parseDurationSeconds, parseName } from '../argument-parsers.js';
import type { CliIo } from '../cli-io.js';
import { followCommand } from '../command-follow.js';
import { describeJob } from '../command-text.js';
import { withExamples } from '../help.js';
import { readJsonInput } from '../input.js';
import { withSession } from '../session.js';
import { describeSchedule } from './schedule.js';

interface RunOptions {
  readonly fleet?: string;
  readonly where?: string;
  readonly concurrency: string;
  readonly deadline: string;
  readonly timeout: string;
  readonly detach: boolean;
  readonly at?: string;
  readonly cron?: string;
  readonly timeZone?: string;
  readonly name?: string;
  readonly missed: 'skip' | 'run';
  readonly module?: string;
  readonly lines?: string;
  readonly input?: string;
}

export function commandRunCommand(io: CliIo): Command {
  const group = new Command('run').description(
    'Send a command to the devices of a fleet, or those that a query finds.',
  );
  for (const make of [pingCommand, restartCommand, logsCommand, scoreCommand, refreshCommand]) {
    group.addCommand(make(io));
  }
  return withExamples(
    group,
    'flotilla command run ping --fleet line-3',
    `flotilla command run logs --module digits --lines 5 --where 'site = "north"'`,
  );
}

/** With the options that all of them have. */
function run(
  io: CliIo,
  operation: JobOperation,
  description: string,
  timeout: string,
  argumentsOf: (options: RunOptions) => Promise<CommandJobCreate['arguments']> | CommandJobCreate['arguments'],
): Command {
  const command = new Command(operation)
    .description(description)
    .option('--fleet <fleet>', 'the devices of a saved fleet')
    .option('--where <query>', 'the devices that match, as in flotilla device list --where')
    .option('--concurrency <count>', 'so many devices at one time', '50')
    .option('--timeout <duration>', 'how long one device may take', timeout)
    .option('--deadline <duration>', 'how long all of it may take; who is away until then is unreachable', '60s')
    .option('--detach', 'do not wait for it', false)
    .option('--at <instant>', 'not now but then, such as 2026-05-01T03:00:00Z')
    .option('--cron <expression>', 'not now but again and again, such as "0 3 * * 1-5"')
    .option('--time-zone <zone>', 'in which the expression is meant (default: UTC)')
    .option('--name <schedule>', 'of the schedule that --at or --cron makes')
    .addOption(
      new Option('--missed <what>', 'of times at which the control plane was down for more than five minutes')
        .choices(['skip', 'run'])
        .default('skip'),
    )
    .action(async (options: RunOptions) => {
      const body = { ...orderOf(operation, options), arguments: await argumentsOf(options) };
      const schedule = scheduleOf(options);
      await withSession(io, command, async (session) => {
        if (schedule !== undefined) {
          const made = await session.client.call(routes.scheduleCreate, { body: { ...schedule, command: body } });
          session.out.result(made, () => describeSchedule(made));
          return;
        }
        const job = await session.client.call(routes.commandJobCreate, { body });
        if (options.detach) session.out.result(job, () => describeJob(job));
        else await followCommand(session, job);
      });
    });
  return command;
}

/** Undefined: it is for now. */
function scheduleOf(options: RunOptions): Omit<z.input<typeof scheduleCreate>, 'command'> | undefined {
  const { at, cron, timeZone, name, missed } = options;
  if (at === undefined && cron === undefined) {
    if (name === undefined && timeZone === undefined) return undefined;
    throw new AppError('request.invalid', '--name and --time-zone are of a schedule: give --at or --cron too');
  }
  if (name === undefined) {
    throw new AppError('request.invalid', 'a schedule has a name, to be shown and deleted by: give --name');
  }
  const head = { name: parseName(name, 'schedule') };
  if (cron !== undefined) {
    if (at !== undefined) throw new AppError('request.invalid', 'give either --at or --cron, not both');
    return { ...head, when: { cron, missed, ...(timeZone === undefined ? {} : { timeZone }) } };
  }
  const ms = Date.parse(at ?? '');
  if (Number.isNaN(ms)) {
    throw new AppError('request.invalid', `"${String(at)}" is no instant; write for example 2026-05-01T03:00:00Z`);
  }
  return { ...head, when: { at: toInstant(ms), missed } };
}

function orderOf(operation: JobOperation, options: RunOptions): Omit<CommandJobCreate, 'arguments'> {
  const { fleet, where } = options;
  if ((fleet === undefined) === (where === undefined)) {
    throw new AppError('request.invalid', `which devices? give --fleet <fleet>, or --where '<query>', and not both`);
  }
  const deadlineSeconds = parseDurationSeconds(options.deadline);
  return {
    operation,
    ...(fleet === undefined ? {} : { fleet: parseName(fleet, 'fleet') }),
    ...(where === undefined ? {} : { where }),
    concurrency: parseCount(options.concurrency, 500),
    timeoutSeconds: Math.min(parseDurationSeconds(options.timeout), deadlineSeconds),
    deadlineSeconds,
  };
}

function pingCommand(io: CliIo): Command {
  const command = run(io, 'ping', 'Ask devices whether they answer.', '15s', () => ({}));
  return withExamples(command, 'flotilla command run ping --fleet line-3 --deadline 30s');
}

function restartCommand(io: CliIo): Command {
  const command = run(io, 'restart', 'Start a module anew, without dropping a request.', '60s', ({ module = '' }) => ({
    module: parseName(module, 'module'),
  })).requiredOption('--module <name>', 'the module');
  return withExamples(command, 'flotilla command run restart --module digits --fleet line-3 --concurrency 5');
}

function logsCommand(io: CliIo): Command {
  const command = run(io, 'logs', 'Print the last lines that agents, or a module, logged.', '15s', (options) => ({
    lines: parseCount(options.lines ?? '20', 1000),
    ...(options.module === undefined ? {} : { module: parseName(options.module, 'module') }),
  }))
    .option('--module <name>', 'of this module, in place of the agent')
    .option('-n, --lines <count>', 'at most so many of each device', '20');
  return withExamples(command, 'flotilla command run logs --module digits --lines 5 --fleet line-3');
}

function scoreCommand(io: CliIo): Command {
  const command = run(io, 'score', 'Score one input on every device.', '30s', async (options) => ({
    module: parseName(options.module ?? '', 'module'),
    input: z.json().parse(await readJsonInput(io, options.input ?? '')),
  }))
    .requiredOption('--module <name>', 'the module')
    .requiredOption('--input <file>', 'JSON, as in flotilla score; "-" is standard input');
  return withExamples(command, 'flotilla command run score --module digits --input digit.json --fleet line-3');
}

function refreshCommand(io: CliIo): Command {
  const what = 'Have devices ask for their documents anew, and report the whole of themselves.';
  return withExamples(
    run(io, 'refresh', what, '15s', () => ({})),
    `flotilla command run refresh --where 'site = "north"'`,
  );
}
