/** The workspace's storage: what was collected. What a file holds may be personal: reading one is in the audit log. */
import { relativePathSchema } from '#shared/protocol/primitives.js';
import type { WorkspaceStorage } from '#cloud/storage/workspace-storage.js';
import { AppError } from '#shared/kernel/errors.js';
import type { Routes } from '../app.js';
import { pageOf, workspaceParams } from '../schemas/common.js';
import { dataDeletedBody, dataDeleteQuery, dataFileBody, dataListQuery, dataReadQuery } from '../schemas/data.js';

export interface DataRouteDeps {
  readonly storage: Pick<WorkspaceStorage, 'list' | 'read' | 'delete'>;
}

const path = '/v1/workspaces/:workspace/data';
const tags = ['data'];

export function dataRoutes({ storage }: DataRouteDeps): Routes {
  return (app) => {
    app.get(
      path,
      {
        // Names and sizes; a reader sees whose they are elsewhere too.
        config: { role: 'reader' },
        schema: {
          tags,
          summary: 'Files of collected data, by path',
          params: workspaceParams,
          querystring: dataListQuery,
          response: { 200: pageOf(dataFileBody) },
        },
      },
      async (request) => {
        const { prefix, limit, cursor } = request.query;
        if (cursor !== undefined && !relativePathSchema.safeParse(cursor).success) {
          throw new AppError('request.invalid', 'query: cursor: not a cursor of this list; leave it out to start anew');
        }
        const found = await storage.list(request.params.workspace, prefix, limit + 1, cursor);
        const items = found.slice(0, limit);
        const last = found.length > limit ? items.at(-1) : undefined;
        return last === undefined ? { items } : { items, next: last.path };
      },
    );

    app.get(
      `${path}/content`,
      {
        exposeHeadRoute: false,
        config: { role: 'contributor', bytes: 'answer', audited: true },
        schema: {
          tags,
          summary: 'The lines of one file as it is now; reading it is in the audit log',
          params: workspaceParams,
          querystring: dataReadQuery,
        },
      },
      async (request, reply) => {
        request.audited = { path: request.query.path };
        const file = await storage.read(request.params.workspace, request.query.path);
        reply.type('application/x-ndjson').header('content-length', file.bytes);
        return reply.send(file.open());
      },
    );

    app.delete(
      path,
      {
        config: { role: 'contributor' },
        schema: {
          tags,
          summary: 'Delete every file whose path begins so',
          params: workspaceParams,
          querystring: dataDeleteQuery,
          response: { 200: dataDeletedBody },
        },
      },
      async (request) => {
        const { prefix } = request.query;
        request.audited = { prefix };
        const gone = await storage.delete(request.params.workspace, prefix);
        request.audited = { prefix, files: gone.files, bytes: gone.bytes };
        return gone;
      },
    );
  };
}
