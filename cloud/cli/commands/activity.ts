/** `flotilla activity list | show | log | cancel`: the control plane's long-running operations. */
import { Command } from 'commander';
import type { ActivityBody } from '#cloud/http/schemas/activities.js';
import { routes } from '#cloud/client/routes.js';
import { followActivity } from '../activity-follow.js';
import { readActivityLog } from '../activity-log.js';
import { parseCount } from '../argument-parsers.js';
import type { CliIo } from '../cli-io.js';
import { withExamples } from '../help.js';
import { afterOption, limitOption, noteMore, type PageFlags, readPageFlags } from '../list-paging.js';
import { formatAge, formatFields, formatList, printable } from '../output.js';
import { withSession } from '../session.js';

export function activityCommand(io: CliIo): Command {
  const group = new Command('activity').description('Long-running operations of the control plane.');
  for (const command of [listCommand(io), showCommand(io), logCommand(io), cancelCommand(io)]) {
    group.addCommand(command);
  }
  return withExamples(group, 'flotilla activity list');
}

function listCommand(io: CliIo): Command {
  const command = new Command('list')
    .description('List activities, the newest first.')
    .option('-n, --lines <count>', 'at most so many', '50')
    .option(...afterOption)
    .action(async (options: { readonly lines: string; readonly after?: string }) => {
      const limit = parseCount(options.lines, 100_000);
      await withSession(io, command, async ({ client, out }) => {
        const { items, next } = await client.piece(routes.activityList, { query: { cursor: options.after } }, limit);
        out.result(items, () =>
          formatList(
            items,
            ['ID', 'KIND', 'SUBJECT', 'STATE', 'CREATED'],
            (item) => [item.id, item.kind, item.subject, item.state, formatAge(item.createdAt, io.clock.now())],
            'no activities',
          ),
        );
        noteMore(out, { next });
      });
    });
  return withExamples(command, 'flotilla activity list -n 10');
}

function showCommand(io: CliIo): Command {
  const command = new Command('show')
    .description('Show one activity.')
    .argument('<id>')
    .action(async (id: string) => {
      await withSession(io, command, async ({ client, out }) => {
        const activity = await client.call(routes.activityGet, { params: { id } });
        out.result(activity, () => describeActivity(activity));
      });
    });
  return withExamples(command, 'flotilla activity show <id>');
}

function logCommand(io: CliIo): Command {
  const command = new Command('log')
    .description('Print the log of one activity.')
    .argument('<id>')
    .option('--follow', 'go on until it has ended; the exit code is its own')
    .option(...limitOption)
    .option(...afterOption)
    .action(async (id: string, options: PageFlags & { readonly follow?: boolean }) => {
      const wish = readPageFlags(options);
      await withSession(io, command, async (session) => {
        const { client, out } = session;
        if (options.follow) {
          const ended = await followActivity(session, await client.call(routes.activityGet, { params: { id } }));
          out.result(ended, () => describeActivity(ended));
          return;
        }
        const log = await readActivityLog(client, id, wish);
        out.result(log.lines, () => log.lines.map(({ at, text }) => `${at}  ${printable(text)}\n`).join(''));
        noteMore(out, log);
      });
    });
  return withExamples(
    command,
    'flotilla activity log <id>',
    'flotilla activity log <id> --follow',
    'flotilla activity log <id> --limit 100',
  );
}

function cancelCommand(io: CliIo): Command {
  const command = new Command('cancel')
    .description(
      'Ask an activity to stop. Of a deployment it only ends the watching: the change was made when it was ordered, and stays; what undoes it is said.',
    )
    .argument('<id>')
    .action(async (id: string) => {
      await withSession(io, command, async ({ client, out }) => {
        const activity = await client.call(routes.activityCancel, { params: { id } });
        out.result(activity, () => describeActivity(activity));
        const left = leftBehind(activity);
        if (left !== undefined) out.note(left);
      });
    });
  return withExamples(command, 'flotilla activity cancel <id>');
}

/** Activities of deployments follow what was already written. */
function leftBehind({ kind, subject }: ActivityBody): string | undefined {
  const [endpoint, name] = subject.split('/');
  if (!kind.startsWith('deployment.') || endpoint === undefined || name === undefined) return undefined;
  const at = `${name} --endpoint ${endpoint}`;
  const undoing: Readonly<Record<string, string>> = {
    'deployment.create': `flotilla deployment delete ${at}`,
    'deployment.update': `flotilla deployment update ${at} with what it was before`,
    'deployment.scale': `flotilla deployment scale ${at} with what it was before`,
    'deployment.delete': `flotilla deployment create ${at} --image <image>`,
  };
  return `The change of ${subject} stays, and goes on: only the watching ends. To undo it: ${undoing[kind] ?? 'order what was before'}`;
}

function describeActivity(activity: ActivityBody): string {
  const { problem } = activity;
  return formatFields([
    ['id', activity.id],
    ['kind', activity.kind],
    ['subject', activity.subject],
    ['state', activity.state],
    ['created', activity.createdAt],
    ['started', activity.startedAt],
    ['ended', activity.endedAt],
    ['made', activity.resource],
    ['problem', problem === undefined ? undefined : `${problem.code}: ${problem.message}`],
  ]);
}
