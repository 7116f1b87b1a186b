/** `flotilla freeze …`: times in which rollouts ask nobody for anything new. */
import { Command } from 'commander';
import { routes } from '#cloud/client/routes.js';
import { parseInstant, parseName } from '../argument-parsers.js';
import type { CliIo } from '../cli-io.js';
import { withExamples } from '../help.js';
import { afterOption, limitOption, noteMore, type PageFlags, readPageFlags } from '../list-paging.js';
import { formatFields, formatList } from '../output.js';
import { withSession } from '../session.js';

export function freezeCommand(io: CliIo): Command {
  const group = new Command('freeze').description(
    'Freeze periods: times in which rollouts ask nobody for anything new. What goes back goes back all the same.',
  );
  for (const make of [createCommand, listCommand, deleteCommand]) group.addCommand(make(io));
  return withExamples(
    group,
    "flotilla freeze create year-end --from 2026-12-18T00:00Z --until 2027-01-04T06:00Z --reason 'nobody is there'",
    'flotilla freeze list',
  );
}

interface CreateOptions {
  readonly from?: string;
  readonly until: string;
  readonly where?: string;
  readonly reason?: string;
}

function createCommand(io: CliIo): Command {
  const command = new Command('create')
    .description('Freeze the rollouts of the workspace for a time.')
    .argument('<freeze>', 'its name')
    .option('--from <time>', 'when it begins, for example 2026-12-18T00:00Z (default: now)')
    .requiredOption('--until <time>', 'when it ends')
    .option('--where <query>', 'only these devices, as in flotilla device list --where')
    .option('--reason <text>', 'why; flotilla rollout explain names the freeze')
    .action(async (text: string, { from, until, where, reason }: CreateOptions) => {
      const body = {
        name: parseName(text, 'freeze'),
        from: from === undefined ? new Date(io.clock.now()).toISOString() : parseInstant(from, '--from'),
        until: parseInstant(until, '--until'),
        ...(where === undefined ? {} : { where }),
        ...(reason === undefined ? {} : { reason }),
      };
      await withSession(io, command, async ({ client, out }) => {
        const made = await client.call(routes.freezeCreate, { body });
        out.result(made, () =>
          formatFields([
            ['freeze', made.name],
            ['from', made.from],
            ['until', made.until],
            ['where', made.where ?? 'all devices'],
          ]),
        );
      });
    });
  return withExamples(
    command,
    'flotilla freeze create year-end --from 2026-12-18T00:00Z --until 2027-01-04T06:00Z',
    `flotilla freeze create audit --until 2026-12-02T18:00Z --where 'site = "north"'`,
  );
}

function listCommand(io: CliIo): Command {
  const command = new Command('list')
    .description('List the freeze periods, the earliest first.')
    .option(...limitOption)
    .option(...afterOption)
    .action(async (options: PageFlags) => {
      const { limit, cursor } = readPageFlags(options);
      await withSession(io, command, async ({ client, out }) => {
        const { items, next } = await client.piece(routes.freezeList, { query: { cursor } }, limit);
        out.result(items, () =>
          formatList(
            items,
            ['FREEZE', 'FROM', 'UNTIL', 'WHERE', 'REASON'],
            ({ name, from, until, where, reason }) => [name, from, until, where ?? '-', reason],
            'nothing is frozen; flotilla freeze create <freeze> --until <time> freezes',
          ),
        );
        noteMore(out, { next });
      });
    });
  return withExamples(command, 'flotilla freeze list', 'flotilla freeze list --limit 20');
}

function deleteCommand(io: CliIo): Command {
  const command = new Command('delete')
    .description('End a freeze period, or take back one that has not begun.')
    .argument('<freeze>')
    .action(async (text: string) => {
      const freeze = parseName(text, 'freeze');
      await withSession(io, command, async ({ client, out }) => {
        await client.call(routes.freezeDelete, { params: { freeze } });
        out.result({ freeze, deleted: true }, () => `${freeze} is gone`);
      });
    });
  return withExamples(command, 'flotilla freeze delete year-end');
}
