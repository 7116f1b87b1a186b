/** `flotilla fleet …`: saved queries over devices; who is in one is asked anew each time. */
import { Command } from 'commander';
import { AppError } from '#shared/kernel/errors.js';
import type { FlotillaClient } from '#cloud/client/flotilla-client.js';
import { routes } from '#cloud/client/routes.js';
import type { FleetBody } from '#cloud/http/schemas/fleets.js';
import { parseName } from '../argument-parsers.js';
import type { CliIo } from '../cli-io.js';
import { afterOption, limitOption, type PagingFlags, readPaging, readPiece } from '../device-paging.js';
import { describeDevices } from '../device-text.js';
import { describeCount, describeFleet } from '../fleet-text.js';
import { withExamples } from '../help.js';
import { formatList } from '../output.js';
import { withSession } from '../session.js';

export function fleetCommand(io: CliIo): Command {
  const group = new Command('fleet').description('Fleets: saved queries; a device is in one as long as it matches.');
  for (const make of [createCommand, listCommand, showCommand, updateCommand, deleteCommand, membersCommand]) {
    group.addCommand(make(io));
  }
  return withExamples(
    group,
    `flotilla fleet create line-3 --where 'site = "north" and line = 3' --dry-run`,
    'flotilla fleet members line-3',
  );
}

interface SaveOptions {
  readonly where?: string;
  readonly description?: string;
  readonly dryRun: boolean;
}

function createCommand(io: CliIo): Command {
  const command = new Command('create')
    .description('Save a query as a fleet.')
    .argument('<fleet>')
    .requiredOption('--where <query>', 'which devices, as in flotilla device list --where')
    .option('--description <text>', 'what it is for')
    .option('--dry-run', 'say how many devices it would have, and save nothing', false)
    .action(async (text: string, { where = '', description, dryRun }: SaveOptions) => {
      const name = parseName(text, 'fleet');
      await withSession(io, command, async ({ client, out }) => {
        if (dryRun) {
          const counted = await client.call(routes.deviceCount, { query: { where } });
          out.result({ ...counted, saved: false }, () => describeCount(counted));
          return;
        }
        const fleet = await client.call(routes.fleetCreate, {
          body: { name, where, ...(description === undefined ? {} : { description }) },
        });
        out.result(fleet, () => describeFleet(fleet));
      });
    });
  return withExamples(
    command,
    `flotilla fleet create line-3 --where 'site = "north" and line = 3' --dry-run`,
    `flotilla fleet create gpu-cams --where 'name ~ "cam-*" and capabilities.gpu' --description 'cameras with a GPU'`,
  );
}

function listCommand(io: CliIo): Command {
  const command = new Command('list')
    .description('List the fleets, or those that one device is in.')
    .option('--device <name>', 'only the fleets that this device is in now')
    .option(...limitOption)
    .option('--after <fleet>', 'only those whose names come after this one')
    .action(async (options: PagingFlags & { readonly device?: string }) => {
      const device = options.device === undefined ? undefined : parseName(options.device, 'device');
      const paging = readPaging(options, 'fleet');
      await withSession(io, command, async ({ client, out }) => {
        const { items, more } = await readPiece(paging, (limit) => fleetsOf(client, device, paging.cursor, limit));
        out.result(items, () =>
          formatList(
            items,
            ['FLEET', 'WHERE', 'DESCRIPTION'],
            (fleet) => [fleet.name, fleet.where, fleet.description],
            device === undefined
              ? 'no fleets; flotilla fleet create <fleet> --where <query> makes one'
              : `${device} is in no fleet`,
          ),
        );
        if (more !== undefined) out.note(more);
      });
    });
  return withExamples(command, 'flotilla fleet list', 'flotilla fleet list --device cam-1');
}

function fleetsOf(
  client: FlotillaClient,
  device: string | undefined,
  cursor: string | undefined,
  limit: number | undefined,
): Promise<readonly FleetBody[]> {
  if (device === undefined) return client.list(routes.fleetList, { query: { cursor } }, limit);
  return client.list(routes.deviceFleets, { params: { device }, query: { cursor } }, limit);
}

function showCommand(io: CliIo): Command {
  const command = new Command('show')
    .description('Show a fleet, and how many members it has now.')
    .argument('<fleet>')
    .action(async (text: string) => {
      const fleet = parseName(text, 'fleet');
      await withSession(io, command, async ({ client, out }) => {
        const body = await client.call(routes.fleetGet, { params: { fleet } });
        out.result(body, () => describeFleet(body));
      });
    });
  return withExamples(command, 'flotilla fleet show line-3');
}

function updateCommand(io: CliIo): Command {
  const command = new Command('update')
    .description("Change a fleet's query or description.")
    .argument('<fleet>')
    .option('--where <query>', 'which devices from now on')
    .option('--description <text>', 'what it is for')
    .option('--dry-run', 'say how many devices it has and would have, and change nothing', false)
    .action(async (text: string, { where, description, dryRun }: SaveOptions) => {
      const fleet = parseName(text, 'fleet');
      if (where === undefined && (dryRun || description === undefined)) {
        throw new AppError(
          'request.invalid',
          `nothing to change: give ${dryRun ? '--where' : '--where or --description'}`,
        );
      }
      await withSession(io, command, async ({ client, out }) => {
        if (dryRun && where !== undefined) {
          const { members } = await client.call(routes.fleetGet, { params: { fleet } });
          const counted = await client.call(routes.deviceCount, { query: { where } });
          out.result(
            { ...counted, before: { count: members.count, online: members.online }, saved: false },
            () => `${describeCount(counted)}before    ${String(members.count)} devices`,
          );
          return;
        }
        const body = await client.call(routes.fleetPatch, {
          params: { fleet },
          body: { ...(where === undefined ? {} : { where }), ...(description === undefined ? {} : { description }) },
        });
        out.result(body, () => describeFleet(body));
      });
    });
  return withExamples(command, `flotilla fleet update line-3 --where 'line in (3, 4)' --dry-run`);
}

function deleteCommand(io: CliIo): Command {
  const command = new Command('delete')
    .description('Delete a fleet. Its devices stay as they are.')
    .argument('<fleet>')
    .action(async (text: string) => {
      const fleet = parseName(text, 'fleet');
      await withSession(io, command, async ({ client, out }) => {
        await client.call(routes.fleetDelete, { params: { fleet } });
        out.result({ deleted: fleet }, () => `deleted ${fleet}`);
      });
    });
  return withExamples(command, 'flotilla fleet delete line-3');
}

function membersCommand(io: CliIo): Command {
  const command = new Command('members')
    .description('List the devices that are in a fleet now, by name.')
    .argument('<fleet>')
    .option(...limitOption)
    .option(...afterOption)
    .action(async (text: string, options: PagingFlags) => {
      const fleet = parseName(text, 'fleet');
      const paging = readPaging(options);
      await withSession(io, command, async ({ client, out }) => {
        const { items, more } = await readPiece(paging, (limit) =>
          client.list(routes.fleetMembers, { params: { fleet }, query: { cursor: paging.cursor } }, limit),
        );
        out.result(items, () => describeDevices(items, io.clock.now(), `no device is in ${fleet} now`));
        if (more !== undefined) out.note(more);
      });
    });
  return withExamples(command, 'flotilla fleet members line-3', 'flotilla fleet members line-3 --limit 50');
}
