import * as z from 'zod';
import { type Clock, toInstant } from '#shared/kernel/clock.js';
import { AppError } from '#shared/kernel/errors.js';
import { nameSchema } from '#shared/protocol/primitives.js';
import { nextTime } from '#shared/protocol/maintenance-window.js';
import type { FleetRepository } from '#cloud/fleet/fleet-repository.js';
import type { ReleaseRepository } from '#cloud/fleet/release-repository.js';
import { checkPolicy } from '#cloud/rollout/policy.js';
import type { RolloutSchedule, ScheduleRepository } from '#cloud/rollout/schedule-repository.js';
import type { Routes } from '../app.js';
import { pageOf, pageQuery, workspaceParams } from '../schemas/common.js';
import { type RolloutScheduleBody, rolloutScheduleBody, rolloutScheduleCreate } from '../schemas/rollout-schedules.js';

export interface RolloutScheduleRouteDeps {
  readonly schedules: ScheduleRepository;
  readonly releases: Pick<ReleaseRepository, 'require' | 'newest'>;
  readonly fleets: Pick<FleetRepository, 'require'>;
  readonly clock: Clock;
}

const all = '/v1/workspaces/:workspace/rollout-schedules';
const tags = ['rollouts'];

export function rolloutScheduleRoutes({ schedules, releases, fleets, clock }: RolloutScheduleRouteDeps): Routes {
  return (app) => {
    app.get(
      all,
      {
        config: { role: 'reader' },
        schema: {
          tags,
          summary: 'Scheduled rollouts: those to come by when they start, then the others',
          params: workspaceParams,
          querystring: pageQuery,
          response: { 200: pageOf(rolloutScheduleBody) },
        },
      },
      async (request) => {
        const page = await schedules.list(request.params.workspace, request.query);
        return { ...page, items: page.items.map(toBody) };
      },
    );

    app.post(
      all,
      {
        config: { role: 'contributor' },
        schema: {
          tags,
          summary: 'Start a rollout at a time, or again and again',
          params: workspaceParams,
          body: rolloutScheduleCreate,
          response: { 201: rolloutScheduleBody },
        },
      },
      async (request, reply) => {
        const { workspace } = request.params;
        const { release, fleet, policy, supersede, ignoreFreeze, at, cron, timeZone, lateSeconds } = request.body;
        const now = clock.now();
        checkPolicy(policy);
        await releases.require(workspace, release.includes(':') ? release : await releases.newest(workspace, release));
        await fleets.require(workspace, fleet);
        const nextAt = cron === undefined ? Date.parse(at ?? '') : nextTime(cron, timeZone, now);
        if (nextAt <= now) {
          throw new AppError(
            'request.invalid',
            `at: ${toInstant(nextAt)} has passed: give a later time, or start it now`,
          );
        }
        request.audited = { release, fleet, supersede, ignoreFreeze, at: at ?? '', cron: cron ?? '' };
        const made = await schedules.create({
          ...{ workspace, order: { release, fleet, policy, supersede, ignoreFreeze }, lateSeconds, nextAt },
          ...(cron === undefined ? {} : { cron, timeZone }),
          ...{ createdAt: toInstant(now), createdBy: request.principal?.name ?? '' },
        });
        return reply.code(201).send(toBody(made));
      },
    );

    app.delete(
      `${all}/:schedule`,
      {
        config: { role: 'contributor' },
        schema: {
          tags,
          summary: 'Cancel a scheduled rollout; one that it started goes on',
          params: z.object({ workspace: nameSchema, schedule: z.coerce.number().int().min(1) }),
          response: { 204: z.null() },
        },
      },
      async (request, reply) => {
        await schedules.cancel(request.params.workspace, request.params.schedule);
        return reply.code(204).send(null);
      },
    );
  };
}

function toBody(schedule: RolloutSchedule): RolloutScheduleBody {
  const { number, order, cron, timeZone, nextAt, lateSeconds, last, cancelled, createdAt, createdBy } = schedule;
  return {
    ...{ number, release: order.release, fleet: order.fleet, lateSeconds, cancelled, createdAt, createdBy },
    ...(cron === undefined ? {} : { cron }),
    ...(timeZone === undefined ? {} : { timeZone }),
    ...(nextAt === undefined ? {} : { nextAt: toInstant(nextAt) }),
    ...(last === undefined ? {} : { last: { ...last, at: toInstant(last.at) } }),
  };
}
