/** `flotilla command run | list | show | cancel`: one command to many devices. */
import { Command } from 'commander';
import { routes } from '#cloud/client/routes.js';
import { parseCount, parseJobNumber } from '../argument-parsers.js';
import type { CliIo } from '../cli-io.js';
import { showResults } from '../command-follow.js';
import { describeJob, describeJobs } from '../command-text.js';
import { withExamples } from '../help.js';
import { withSession } from '../session.js';
import { commandRunCommand } from './command-run.js';

export function commandCommand(io: CliIo): Command {
  const group = new Command('command').description(
    'One command to many devices: each answers, fails, or is unreachable by the deadline.',
  );
  for (const make of [commandRunCommand, listCommand, showCommand, cancelCommand]) group.addCommand(make(io));
  return withExamples(
    group,
    'flotilla command run ping --fleet line-3',
    `flotilla command run restart --module digits --where 'site = "north"' --concurrency 10`,
    'flotilla command show 3',
  );
}

function listCommand(io: CliIo): Command {
  const command = new Command('list')
    .description('List commands to many devices, newest first.')
    .option('-n, --lines <count>', 'at most so many', '50')
    .action(async (options: { readonly lines: string }) => {
      const limit = parseCount(options.lines, 100_000);
      await withSession(io, command, async ({ client, out }) => {
        const jobs = await client.list(routes.commandJobList, {}, limit);
        out.result(jobs, () => describeJobs(jobs, io.clock.now()));
      });
    });
  return withExamples(command, 'flotilla command list -n 10');
}

function showCommand(io: CliIo): Command {
  const command = new Command('show')
    .description('Show one, with what each device answered so far.')
    .argument('<command>', 'its number')
    .option('--all', 'of a large fleet, those that did it too', false)
    .action(async (text: string, { all }: { readonly all: boolean }) => {
      const params = { command: parseJobNumber(text) };
      await withSession(io, command, async (session) => {
        const job = await session.client.call(routes.commandJobGet, { params });
        await showResults(session, job, { whole: all, head: `${describeJob(job)}\n` });
      });
    });
  return withExamples(command, 'flotilla command show 3', 'flotilla command show 3 --all --output json');
}

function cancelCommand(io: CliIo): Command {
  const command = new Command('cancel')
    .description('Send it to no further device. What was sent may still be answered.')
    .argument('<command>', 'its number')
    .action(async (text: string) => {
      const params = { command: parseJobNumber(text) };
      await withSession(io, command, async ({ client, out }) => {
        const job = await client.call(routes.commandJobCancel, { params });
        out.result(job, () => describeJob(job));
      });
    });
  return withExamples(command, 'flotilla command cancel 3');
}
