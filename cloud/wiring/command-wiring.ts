/** Commands to many devices: who begins them, who carries them out, and the routes to both. */
import { randomUUID } from 'node:crypto';
import { CommandOffice } from '#cloud/commands/command-office.js';
import { CommandRepository } from '#cloud/commands/command-repository.js';
import { CommandRunner } from '#cloud/commands/command-runner.js';
import type { CommandChannel } from '#cloud/fleet/command-channel.js';
import type { Routes } from '#cloud/http/app.js';
import { scheduledCommand } from '#cloud/commands/scheduled-command.js';
import { ScheduleRepository } from '#cloud/schedule/schedule-repository.js';
import { Scheduler } from '#cloud/schedule/scheduler.js';
import { scheduleRoutes } from '#cloud/http/routes/schedule-routes.js';
import { commandRoutes } from '#cloud/http/routes/command-routes.js';
import type { Ground } from './ground.js';

/** Once the broker is open: what an earlier process left is sent again. */
export function wireCommands(ground: Ground, channel: CommandChannel): readonly Routes[] {
  const { control: db, live, clock, logger, shutdown, audit } = ground;
  const commands = new CommandRepository(db);
  const runner = new CommandRunner({ commands, channel, live, clock, logger });
  const office = new CommandOffice({ db, channel, live, clock, newId: randomUUID, onChanged: () => runner.wake() });
  runner.start();
  shutdown.add('commands to many devices', () => runner.stop());
  const schedules = new ScheduleRepository(db);
  const scheduler = new Scheduler({ schedules, kinds: [scheduledCommand(office)], audit, clock, logger });
  scheduler.wake();
  shutdown.add('schedules', () => scheduler.stop());
  return [commandRoutes({ commands, office }), scheduleRoutes({ schedules, scheduler })];
}
