import * as z from 'zod';
import { toInstant } from '#shared/kernel/clock.js';
import { nameSchema } from '#shared/protocol/primitives.js';
import type { Schedule } from '#cloud/schedule/schedule.js';
import type { ScheduleAddress, ScheduleRepository } from '#cloud/schedule/schedule-repository.js';
import type { Punctuality } from '#cloud/schedule/schedule-time.js';
import type { Scheduler } from '#cloud/schedule/scheduler.js';
import type { Routes } from '../app.js';
import { pageOf, pageQuery, workspaceParams } from '../schemas/common.js';
import { type ScheduleBody, scheduleBody, scheduleCreate, type ScheduleWhen } from '../schemas/schedules.js';

export interface ScheduleRouteDeps {
  readonly schedules: ScheduleRepository;
  readonly scheduler: Scheduler;
}

const all = '/v1/workspaces/:workspace/schedules';
const path = `${all}/:schedule` as const;
const params = workspaceParams.extend({ schedule: nameSchema });
const tags = ['schedules'];
const kind = 'command';
/** A little late is on time: a control plane that is upgraded misses nothing. */
const graceSeconds = 300;

export function scheduleRoutes({ schedules, scheduler }: ScheduleRouteDeps): Routes {
  return (app) => {
    app.post(
      all,
      {
        config: { role: 'contributor' },
        schema: {
          tags,
          summary: 'Have something begun at some time, or again and again',
          params: workspaceParams,
          body: scheduleCreate,
          response: { 201: scheduleBody },
        },
      },
      async (request, reply) => {
        const { name, when, command } = request.body;
        const by = request.principal?.name ?? '';
        const order = { ...punctuality(when), name, kind, action: command } as const;
        const made = await scheduler.add(request.params.workspace, order, by);
        request.audited = { schedule: name, operation: command.operation };
        return reply.code(201).send(toBody(made));
      },
    );

    app.get(
      all,
      {
        config: { role: 'reader' },
        schema: {
          tags,
          summary: 'Schedules, by name',
          params: workspaceParams,
          querystring: pageQuery,
          response: { 200: pageOf(scheduleBody) },
        },
      },
      async (request) => {
        const page = await schedules.list(request.params.workspace, kind, request.query);
        return { ...page, items: page.items.map(toBody) };
      },
    );

    app.get(
      path,
      {
        config: { role: 'reader' },
        schema: { tags, summary: 'One schedule, and how it went last', params, response: { 200: scheduleBody } },
      },
      async (request) => toBody(await schedules.require(addressOf(request.params))),
    );

    app.delete(
      path,
      {
        config: { role: 'contributor' },
        schema: {
          tags,
          summary: 'Delete a schedule; what it has begun goes on',
          params,
          response: { 204: z.null() },
        },
      },
      async (request, reply) => {
        await schedules.remove(addressOf(request.params));
        return reply.code(204).send(null);
      },
    );
  };
}

function addressOf({ workspace, schedule: name }: z.output<typeof params>): ScheduleAddress {
  return { workspace, kind, name };
}

export function punctuality({ missed, ...when }: ScheduleWhen): Punctuality {
  return { when, ...(missed === 'skip' ? { lateSeconds: graceSeconds } : {}) };
}

function toBody({
  name,
  action,
  when,
  lateSeconds,
  nextAt,
  lastAt,
  last,
  createdAt,
  createdBy,
}: Schedule): ScheduleBody {
  const missed = lateSeconds === undefined ? 'run' : 'skip';
  return {
    ...{ name, kind, when: { ...when, missed }, action: z.json().parse(action), createdAt, createdBy },
    ...(nextAt === undefined ? {} : { nextAt: toInstant(nextAt) }),
    ...(lastAt === undefined ? {} : { lastAt: toInstant(lastAt) }),
    ...(last === undefined ? {} : { last }),
  };
}
