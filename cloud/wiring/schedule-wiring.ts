/** What is begun by itself, of every kind, and the routes to it. */
import type { Routes } from '#cloud/http/app.js';
import { rolloutScheduleRoutes } from '#cloud/http/routes/rollout-schedule-routes.js';
import { scheduleRoutes } from '#cloud/http/routes/schedule-routes.js';
import type { ScheduleKind } from '#cloud/schedule/schedule.js';
import { ScheduleRepository } from '#cloud/schedule/schedule-repository.js';
import { Scheduler } from '#cloud/schedule/scheduler.js';
import type { Ground } from './ground.js';

export function wireSchedules(ground: Ground, kinds: readonly ScheduleKind[]): Routes[] {
  const { control, clock, logger, shutdown, audit } = ground;
  const schedules = new ScheduleRepository(control);
  const scheduler = new Scheduler({ schedules, kinds, audit, clock, logger });
  scheduler.start();
  shutdown.add('schedules', () => scheduler.stop());
  return [scheduleRoutes({ schedules, scheduler }), rolloutScheduleRoutes({ schedules, scheduler })];
}
