/** `flotilla schedule list | show | delete`: what is begun at some time, or again and again. */
import { Command } from 'commander';
import { routes } from '#cloud/client/routes.js';
import type { ScheduleBody } from '#cloud/http/schemas/schedules.js';
import { parseName } from '../argument-parsers.js';
import type { CliIo } from '../cli-io.js';
import { withExamples } from '../help.js';
import { formatFields, formatList } from '../output.js';
import { withSession } from '../session.js';

export function scheduleCommand(io: CliIo): Command {
  const group = new Command('schedule').description('What the control plane begins by itself, and when.');
  for (const make of [listCommand, showCommand, deleteCommand]) group.addCommand(make(io));
  return withExamples(
    group,
    `flotilla command run ping --fleet line-3 --cron '0 3 * * *' --name nightly-ping`,
    'flotilla schedule list',
  );
}

function listCommand(io: CliIo): Command {
  const command = new Command('list').description('List schedules, by name.').action(async () => {
    await withSession(io, command, async ({ client, out }) => {
      const items = await client.list(routes.scheduleList, {});
      out.result(items, () =>
        formatList(
          items,
          ['SCHEDULE', 'WHAT', 'WHEN', 'NEXT', 'LAST'],
          (one) => [one.name, whatOf(one), whenOf(one), one.nextAt ?? 'never again', lastOf(one)],
          'no schedules; flotilla command run … --cron makes one',
        ),
      );
    });
  });
  return withExamples(command, 'flotilla schedule list');
}

function showCommand(io: CliIo): Command {
  const command = new Command('show')
    .description('Show a schedule, and how it went last.')
    .argument('<schedule>')
    .action(async (text: string) => {
      const schedule = parseName(text, 'schedule');
      await withSession(io, command, async ({ client, out }) => {
        const body = await client.call(routes.scheduleGet, { params: { schedule } });
        out.result(body, () => describeSchedule(body));
      });
    });
  return withExamples(command, 'flotilla schedule show nightly-ping');
}

function deleteCommand(io: CliIo): Command {
  const command = new Command('delete')
    .description('Delete a schedule. What it has begun goes on.')
    .argument('<schedule>')
    .action(async (text: string) => {
      const schedule = parseName(text, 'schedule');
      await withSession(io, command, async ({ client, out }) => {
        await client.call(routes.scheduleDelete, { params: { schedule } });
        out.result({ deleted: schedule }, () => `deleted ${schedule}`);
      });
    });
  return withExamples(command, 'flotilla schedule delete nightly-ping');
}

export function describeSchedule(one: ScheduleBody): string {
  return formatFields([
    ['schedule', one.name],
    ['what', `${whatOf(one)} ${JSON.stringify(one.action)}`],
    ['when', whenOf(one)],
    [
      'missed',
      one.when.missed === 'run' ? 'a time that was missed is made up for, once' : 'skipped when five minutes late',
    ],
    ['next', one.nextAt ?? 'never again'],
    ['last', lastOf(one)],
    ['made', `${one.createdAt} by ${one.createdBy}`],
  ]);
}

function whatOf({ kind, action }: ScheduleBody): string {
  const operation =
    typeof action === 'object' && action !== null && 'operation' in action ? action['operation'] : undefined;
  return typeof operation === 'string' ? `${kind} ${operation}` : kind;
}

function whenOf({ when }: ScheduleBody): string {
  return 'at' in when ? when.at : `${when.cron} (${when.timeZone})`;
}

function lastOf({ lastAt, last }: ScheduleBody): string {
  return lastAt === undefined || last === undefined ? '-' : `${lastAt}: ${last.outcome}, ${last.text}`;
}
