import * as z from 'zod';
import { AppError } from '#shared/kernel/errors.js';
import { nameSchema } from '#shared/protocol/primitives.js';
import { toActivityBody } from '#cloud/activities/activity-body.js';
import type { ActivityRunner } from '#cloud/activities/activity-runner.js';
import type { ActivityRepository, StoredActivity } from '#cloud/store/activity-repository.js';
import type { Routes } from '../app.js';
import { activityBody, activityLog, activityLogQuery } from '../schemas/activities.js';
import { pageOf, pageQuery, workspaceParams } from '../schemas/common.js';

export interface ActivityRouteDeps {
  readonly activities: ActivityRepository;
  readonly runner: ActivityRunner;
}

const params = z.object({ workspace: nameSchema, id: z.string().max(64) });
const path = '/v1/workspaces/:workspace/activities';
const tags = ['activities'];

export function activityRoutes({ activities, runner }: ActivityRouteDeps): Routes {
  const require = async (workspace: string, id: string): Promise<StoredActivity> => {
    const activity = await activities.find(workspace, id);
    if (activity === undefined) throw unknownActivity(id);
    return activity;
  };
  return (app) => {
    app.get(
      path,
      {
        config: { role: 'reader' },
        schema: {
          tags,
          summary: 'Activities, newest first',
          params: workspaceParams,
          querystring: pageQuery,
          response: { 200: pageOf(activityBody) },
        },
      },
      async (request) => {
        const page = await activities.list(request.params.workspace, request.query);
        return { ...page, items: page.items.map(toActivityBody) };
      },
    );

    app.get(
      `${path}/:id`,
      {
        config: { role: 'reader' },
        schema: { tags, summary: 'One activity; poll it until endedAt', params, response: { 200: activityBody } },
      },
      async (request) => toActivityBody(await require(request.params.workspace, request.params.id)),
    );

    app.get(
      `${path}/:id/log`,
      {
        config: { role: 'reader' },
        schema: {
          tags,
          summary: 'The log of an activity so far, the oldest line first',
          params,
          querystring: activityLogQuery,
          response: { 200: activityLog },
        },
      },
      async (request) => {
        const { id } = await require(request.params.workspace, request.params.id);
        const { items, ...rest } = await activities.readLog(id, request.query);
        return { ...rest, lines: [...items] };
      },
    );

    app.post(
      `${path}/:id/cancel`,
      {
        config: { role: 'contributor' },
        schema: {
          tags,
          summary: 'Ask an activity to stop; it ends at its next step. One that has ended stays as it ended',
          params,
          response: { 200: activityBody },
        },
      },
      async (request) => {
        const activity = await runner.cancel(request.params.workspace, request.params.id);
        if (activity === undefined) throw unknownActivity(request.params.id);
        return toActivityBody(activity);
      },
    );
  };
}

function unknownActivity(id: string): AppError {
  return new AppError('activity.not-found', `there is no activity ${id} in this workspace`);
}
