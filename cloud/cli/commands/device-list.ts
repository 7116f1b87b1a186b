/** `flotilla device list`: all devices, those that a query finds, or how many. */
import { Command } from 'commander';
import { AppError } from '#shared/kernel/errors.js';
import { routes } from '#cloud/client/routes.js';
import type { CliIo } from '../cli-io.js';
import { afterOption, limitOption, type PagingFlags, readPaging, readPiece } from '../device-paging.js';
import { describeDevices } from '../device-text.js';
import { describeCount } from '../fleet-text.js';
import { withExamples } from '../help.js';
import { withSession } from '../session.js';

interface ListOptions extends PagingFlags {
  readonly where?: string;
  readonly count?: boolean;
}

export function deviceListCommand(io: CliIo): Command {
  const command = new Command('list')
    .description('List the devices by name, or those in service that a query finds.')
    .option('--where <query>', 'tags by name, and name, online, converged, release, capabilities.…, modules.<module>.…')
    .option('--count', 'say how many match, and how the query was understood')
    .option(...limitOption)
    .option(...afterOption)
    .action(async (options: ListOptions) => {
      const { where } = options;
      const paging = readPaging(options);
      if (options.count && where === undefined) {
        throw new AppError('request.invalid', '--count counts what matches: give --where too');
      }
      await withSession(io, command, async ({ client, out }) => {
        if (options.count && where !== undefined) {
          const counted = await client.call(routes.deviceCount, { query: { where } });
          out.result(counted, () => describeCount(counted));
          return;
        }
        const { items, more } = await readPiece(paging, (limit) =>
          client.list(routes.deviceList, { query: { where, cursor: paging.cursor } }, limit),
        );
        const none = where === undefined ? 'no devices; flotilla device token lets one in' : 'no device matches';
        out.result(items, () => describeDevices(items, io.clock.now(), none));
        if (more !== undefined) out.note(more);
        if (items.length > 0 || where === undefined || paging.cursor !== undefined) return;
        const { notes } = await client.call(routes.deviceCount, { query: { where } });
        for (const note of notes) out.note(`note: ${note}`);
      });
    });
  return withExamples(
    command,
    'flotilla device list',
    `flotilla device list --where 'site = "north" and line in (3, 4) and not online'`,
    `flotilla device list --where 'modules.digits.version < 3' --limit 100 --after cam-100`,
    `flotilla device list --where 'capabilities.agentVersion >= "0.1.0"' --count`,
  );
}
