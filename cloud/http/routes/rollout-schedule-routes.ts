import * as z from 'zod';
import { toInstant } from '#shared/kernel/clock.js';
import { AppError } from '#shared/kernel/errors.js';
import { nameSchema } from '#shared/protocol/primitives.js';
import { orderOf, tellLast } from '#cloud/rollout/scheduled-rollout.js';
import type { LastTime, Schedule } from '#cloud/schedule/schedule.js';
import type { ScheduleRepository } from '#cloud/schedule/schedule-repository.js';
import type { Scheduler } from '#cloud/schedule/scheduler.js';
import type { Routes } from '../app.js';
import { pageOf, pageQuery, workspaceParams } from '../schemas/common.js';
import { type RolloutScheduleBody, rolloutScheduleBody, rolloutScheduleCreate } from '../schemas/rollout-schedules.js';

export interface RolloutScheduleRouteDeps {
  readonly schedules: ScheduleRepository;
  readonly scheduler: Pick<Scheduler, 'add'>;
}

const all = '/v1/workspaces/:workspace/rollout-schedules';
const tags = ['rollouts'];
const kind = 'rollout';

export function rolloutScheduleRoutes({ schedules, scheduler }: RolloutScheduleRouteDeps): Routes {
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
        const page = await schedules.listByTurn(request.params.workspace, kind, request.query);
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
        const { at, cron, timeZone, lateSeconds, ...action } = request.body;
        const { release, fleet, supersede, ignoreFreeze } = action;
        request.audited = { release, fleet, supersede, ignoreFreeze, at: at ?? '', cron: cron ?? '' };
        const when = cron === undefined ? { at: at ?? '' } : { cron, timeZone };
        const by = request.principal?.name ?? '';
        const made = await scheduler.add(request.params.workspace, { kind, when, lateSeconds, action }, by);
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
        const { workspace, schedule } = request.params;
        await cancel(schedules, workspace, String(schedule));
        return reply.code(204).send(null);
      },
    );
  };
}

/** @throws AppError `schedule.not-found`, `rollout.state` for one that will not start any more */
export async function cancel(schedules: ScheduleRepository, workspace: string, name: string): Promise<void> {
  const address = { workspace, kind, name } as const;
  if (await schedules.cancel(address)) return;
  const shows = 'flotilla rollout schedules shows those there are';
  if ((await schedules.find(address)) === undefined) {
    throw new AppError('schedule.not-found', `there is no schedule ${name} in ${workspace}: ${shows}`);
  }
  throw new AppError('rollout.state', `schedule ${name} does not start any more: ${shows}`);
}

function toBody(schedule: Schedule): RolloutScheduleBody {
  const { name, action, when, nextAt, lateSeconds = 0, lastAt, last, cancelled, createdAt, createdBy } = schedule;
  const { release, fleet } = orderOf(action);
  return {
    ...{ number: Number(name), release, fleet, lateSeconds, cancelled, createdAt, createdBy },
    ...('cron' in when ? when : {}),
    ...(nextAt === undefined ? {} : { nextAt: toInstant(nextAt) }),
    ...(last === undefined || lastAt === undefined ? {} : { last: toldLast(last, lastAt) }),
  };
}

function toldLast(last: LastTime, at: number): RolloutScheduleBody['last'] {
  return { at: toInstant(at), rollout: last.number, text: tellLast(last) };
}
