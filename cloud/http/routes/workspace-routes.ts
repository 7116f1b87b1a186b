import * as z from 'zod';
import { AppError } from '#shared/kernel/errors.js';
import { toInstant, type Clock } from '#shared/kernel/clock.js';
import type { LiveEvents } from '#cloud/live/live-events.js';
import type { ImageIndex } from '#cloud/registry/image-index.js';
import type { TelemetryPort } from '#cloud/telemetry/telemetry-port.js';
import type { WorkspaceStorage } from '#cloud/storage/workspace-storage.js';
import type { WorkspaceRepository } from '#cloud/store/workspace-repository.js';
import { afterName } from '#cloud/store/page.js';
import type { Routes } from '../app.js';
import { unknownWorkspace } from '../plugins/authentication.js';
import { pageOf, pageQuery, workspaceParams } from '../schemas/common.js';
import { workspaceBody, workspaceCreate } from '../schemas/workspaces.js';

export interface WorkspaceRouteDeps {
  readonly workspaces: WorkspaceRepository;
  readonly index: ImageIndex;
  readonly telemetry: Pick<TelemetryPort, 'eraseWorkspace'>;
  readonly storage: Pick<WorkspaceStorage, 'erase'>;
  readonly live: LiveEvents;
  readonly clock: Clock;
}

const tags = ['workspaces'];

export function workspaceRoutes({ workspaces, index, telemetry, storage, live, clock }: WorkspaceRouteDeps): Routes {
  return (app) => {
    app.get(
      '/v1/workspaces',
      {
        config: { role: 'reader' },
        schema: {
          tags,
          summary: 'All workspaces, by name',
          querystring: pageQuery,
          response: { 200: pageOf(workspaceBody) },
        },
      },
      async (request) => {
        const visible = request.principal?.workspace ?? null;
        const all = await workspaces.list();
        const { limit, cursor } = request.query;
        const following = all.filter(
          ({ name }) => (visible === null || name === visible) && (cursor === undefined || name > cursor),
        );
        return afterName(following, limit);
      },
    );

    app.post(
      '/v1/workspaces',
      {
        config: { role: 'owner', installation: true },
        schema: { tags, summary: 'Make a workspace', body: workspaceCreate, response: { 201: workspaceBody } },
      },
      async (request, reply) => {
        const workspace = { name: request.body.name, createdAt: toInstant(clock.now()) };
        // The erasure of an earlier one of this name may have been cut off.
        if (!(await workspaces.exists(workspace.name))) await telemetry.eraseWorkspace(workspace.name);
        if (!(await workspaces.insert(workspace))) {
          throw new AppError('workspace.exists', `there is a workspace "${workspace.name}" already`);
        }
        return reply.code(201).send(workspace);
      },
    );

    app.delete(
      '/v1/workspaces/:workspace',
      {
        config: { role: 'owner', installation: true },
        schema: { tags, summary: 'Delete an empty workspace', params: workspaceParams, response: { 204: z.null() } },
      },
      async (request, reply) => {
        const { workspace } = request.params;
        const outcome = await workspaces.removeEmpty(workspace);
        if (outcome === 'absent') throw unknownWorkspace(workspace);
        if (outcome !== 'removed') {
          throw new AppError(
            'workspace.not-empty',
            `the workspace "${workspace}" holds ${String(outcome.models)} models, ${String(outcome.images)} images, ` +
              `${String(outcome.devices)} devices and ${String(outcome.endpoints)} endpoints: delete and retire them first`,
            { details: { ...outcome } },
          );
        }
        live.publish({ workspace, type: 'workspace.deleted', subject: workspace, data: {} });
        await index.write();
        await storage.erase(workspace);
        await telemetry.eraseWorkspace(workspace);
        return reply.code(204).send(null);
      },
    );
  };
}
