/** `flotilla rollout schedules | unschedule`: rollouts that start by themselves; `rollout start --at` makes them. */
import { Command } from 'commander';
import { routes } from '#cloud/client/routes.js';
import type { RolloutScheduleBody } from '#cloud/http/schemas/rollout-schedules.js';
import { parseRollout } from '../argument-parsers.js';
import type { CliIo } from '../cli-io.js';
import { withExamples } from '../help.js';
import { afterOption, limitOption, noteMore, type PageFlags, readPageFlags } from '../list-paging.js';
import { formatFields, formatList } from '../output.js';
import { withSession } from '../session.js';

export function schedulesCommand(io: CliIo): Command {
  const command = new Command('schedules')
    .description('List the rollouts that start by themselves, and those that have.')
    .option(...limitOption)
    .option(...afterOption)
    .action(async (options: PageFlags) => {
      const { limit, cursor } = readPageFlags(options);
      await withSession(io, command, async ({ client, out }) => {
        const { items, next } = await client.piece(routes.rolloutScheduleList, { query: { cursor } }, limit);
        out.result(items, () =>
          formatList(
            items,
            ['SCHEDULE', 'RELEASE', 'FLEET', 'STARTS', 'EACH', 'LAST'],
            (one) => [String(one.number), one.release, one.fleet, startText(one), cronText(one), one.last?.text ?? '-'],
            'nothing is scheduled; flotilla rollout start --at <time> schedules one',
          ),
        );
        noteMore(out, { next });
      });
    });
  return withExamples(command, 'flotilla rollout schedules', 'flotilla rollout schedules --limit 20');
}

export function unscheduleCommand(io: CliIo): Command {
  const command = new Command('unschedule')
    .description('Cancel a scheduled rollout. One that it has started goes on.')
    .argument('<schedule>', 'its number')
    .action(async (text: string) => {
      const schedule = parseRollout(text);
      await withSession(io, command, async ({ client, out }) => {
        await client.call(routes.rolloutScheduleCancel, { params: { schedule } });
        out.result({ schedule: Number(schedule), cancelled: true }, () => `schedule ${schedule} is cancelled`);
      });
    });
  return withExamples(command, 'flotilla rollout unschedule 3');
}

export function describeSchedule(schedule: RolloutScheduleBody): string {
  return formatFields([
    ['schedule', String(schedule.number)],
    ['release', schedule.release],
    ['fleet', schedule.fleet],
    ['starts', startText(schedule)],
    ['each', schedule.cron === undefined ? undefined : cronText(schedule)],
    ['late', `at most ${String(schedule.lateSeconds)} s, when nobody was there; later it is missed`],
  ]);
}

function startText({ nextAt, cancelled }: RolloutScheduleBody): string {
  return nextAt ?? (cancelled ? 'cancelled' : 'over');
}

function cronText({ cron, timeZone }: RolloutScheduleBody): string {
  return cron === undefined ? '-' : `${cron} (${timeZone ?? 'UTC'})`;
}
