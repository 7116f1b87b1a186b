/** `flotilla device …`: the devices of the workspace, and the token that lets a new one in. */
import { Command } from 'commander';
import { routes } from '#cloud/client/routes.js';
import { parseCount, parseName, parseTagChanges } from '../argument-parsers.js';
import type { CliIo } from '../cli-io.js';
import { describeDevice, describeModules } from '../device-text.js';
import { withExamples } from '../help.js';
import { formatList, formatTags } from '../output.js';
import { withSession } from '../session.js';
import { deviceCertificateCommand, deviceRevokeCommand } from './device-certificate.js';
import { deviceClaimCommand } from './device-claim.js';
import { deviceDesiredCommand } from './device-desired.js';
import { deviceListCommand } from './device-list.js';
import { deviceReplaceCommand, deviceTokenCommand } from './device-token.js';
import { diagnosisCommands } from './device-diagnosis.js';
import { logsCommand } from './logs.js';
import { telemetryCommand } from './telemetry.js';

export function deviceCommand(io: CliIo): Command {
  const group = new Command('device').description('The devices of the workspace.');
  for (const command of [
    deviceTokenCommand(io),
    deviceListCommand(io),
    showCommand(io),
    tagCommand(io),
    modulesCommand(io),
    deviceDesiredCommand(io),
    eventsCommand(io),
    logsCommand(io),
    telemetryCommand(io),
    deviceCertificateCommand(io),
    deviceRevokeCommand(io),
    deviceReplaceCommand(io),
    ...diagnosisCommands(io),
    retireCommand(io),
    deviceClaimCommand(io),
  ]) {
    group.addCommand(command);
  }
  return withExamples(group, 'flotilla device token', 'flotilla device list', 'flotilla device show cam-1');
}

function showCommand(io: CliIo): Command {
  const command = new Command('show')
    .description('Show one device: what it is, what it should run, what it reports.')
    .argument('<device>')
    .action(async (text: string) => {
      const device = parseName(text, 'device');
      await withSession(io, command, async ({ client, out }) => {
        const body = await client.call(routes.deviceGet, { params: { device } });
        out.result(body, () => describeDevice(body, io.clock.now()));
      });
    });
  return withExamples(command, 'flotilla device show cam-1');
}

function modulesCommand(io: CliIo): Command {
  const command = new Command('modules')
    .description('Show what each module of a device should be and is.')
    .argument('<device>')
    .action(async (text: string) => {
      const device = parseName(text, 'device');
      await withSession(io, command, async ({ client, out }) => {
        const { desired, reported } = await client.call(routes.deviceGet, { params: { device } });
        const { generation, converged } = reported;
        out.result(
          { desired, reported: { generation, converged, modules: reported.modules } },
          () => describeModules({ desired, reported }) || 'no modules; flotilla deploy <image> --device puts one there',
        );
      });
    });
  return withExamples(command, 'flotilla device modules cam-1');
}

function tagCommand(io: CliIo): Command {
  const command = new Command('tag')
    .description('Set and remove tags.')
    .argument('<device>')
    .argument('<changes...>', 'name=value sets a tag, name- removes it')
    .action(async (text: string, changes: readonly string[]) => {
      const device = parseName(text, 'device');
      const tags = parseTagChanges(changes);
      await withSession(io, command, async ({ client, out }) => {
        const body = await client.call(routes.devicePatch, { params: { device }, body: { tags } });
        out.result(body, () => `${body.name}  ${formatTags(body.tags)}`);
      });
    });
  return withExamples(command, 'flotilla device tag cam-1 line=3 site-');
}

function eventsCommand(io: CliIo): Command {
  const command = new Command('events')
    .description('What happened on a device, the newest first.')
    .argument('<device>')
    .option('-n, --lines <count>', 'at most so many', '50')
    .action(async (text: string, options: { readonly lines: string }) => {
      const device = parseName(text, 'device');
      const limit = parseCount(options.lines, 100_000);
      await withSession(io, command, async ({ client, out }) => {
        const items = await client.list(routes.deviceEvents, { params: { device } }, limit);
        out.result(items, () =>
          formatList(
            items,
            ['AT', 'LEVEL', 'TYPE', 'MODULE', 'MESSAGE'],
            (event) => [event.at, event.level, event.type, event.module ?? '-', event.message],
            'no events',
          ),
        );
      });
    });
  return withExamples(command, 'flotilla device events cam-1 -n 20');
}

function retireCommand(io: CliIo): Command {
  const command = new Command('retire')
    .description(
      'Take a device out of service: its certificates are void, and only flotilla device replace brings its name back.',
    )
    .argument('<device>')
    .action(async (text: string) => {
      const device = parseName(text, 'device');
      await withSession(io, command, async ({ client, out }) => {
        await client.call(routes.deviceRetire, { params: { device } });
        out.result({ retired: device }, () => `retired ${device}`);
      });
    });
  return withExamples(command, 'flotilla device retire cam-1');
}
