/** Commands to many devices: who begins them, who carries them out, and the routes to both. */
import { randomUUID } from 'node:crypto';
import { CommandOffice } from '#cloud/commands/command-office.js';
import { CommandRepository } from '#cloud/commands/command-repository.js';
import { CommandRunner } from '#cloud/commands/command-runner.js';
import type { CommandChannel } from '#cloud/fleet/command-channel.js';
import type { Routes } from '#cloud/http/app.js';
import { scheduledCommand } from '#cloud/commands/scheduled-command.js';
import type { ScheduleKind } from '#cloud/schedule/schedule.js';
import { commandRoutes } from '#cloud/http/routes/command-routes.js';
import type { Ground } from './ground.js';

export interface WiredCommands {
  readonly routes: Routes;
  readonly scheduled: ScheduleKind;
}

/** Once the broker is open: what an earlier process left is sent again. */
export function wireCommands(ground: Ground, channel: CommandChannel): WiredCommands {
  const { control: db, live, clock, logger, shutdown } = ground;
  const commands = new CommandRepository(db);
  const runner = new CommandRunner({ commands, channel, live, clock, logger });
  const office = new CommandOffice({ db, channel, live, clock, newId: randomUUID, onChanged: () => runner.wake() });
  runner.start();
  shutdown.add('commands to many devices', () => runner.stop());
  return { routes: commandRoutes({ commands, office }), scheduled: scheduledCommand(office) };
}
