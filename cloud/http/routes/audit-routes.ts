/** The audit log of a workspace, and below `/v1/audit` that of the whole installation with the ends of its chain. */
import * as z from 'zod';
import { AppError } from '#shared/kernel/errors.js';
import type { AuditReader } from '#cloud/audit/audit-reader.js';
import type { Routes } from '../app.js';
import { auditBody, auditChainBody, auditQuery } from '../schemas/audit.js';
import { pageOf, workspaceParams } from '../schemas/common.js';

export interface AuditRouteDeps {
  readonly audit: AuditReader;
}

const tags = ['audit'];
const scopes = [
  { path: '/v1/workspaces/:workspace/audit', params: workspaceParams, installation: false },
  { path: '/v1/audit', params: z.object({}), installation: true },
] as const;

export function auditRoutes({ audit }: AuditRouteDeps): Routes {
  return (app) => {
    for (const { path, params, installation } of scopes) {
      app.get(
        path,
        {
          config: { role: 'owner', installation },
          schema: {
            tags,
            summary: `Who changed what ${installation ? 'in the installation' : 'in the workspace'}, and from where`,
            params,
            querystring: auditQuery,
            response: { 200: pageOf(auditBody) },
          },
        },
        async (request) => {
          const { limit, cursor, ...query } = request.query;
          const workspace = 'workspace' in request.params ? request.params.workspace : null;
          const after = cursor === undefined ? undefined : readCursor(cursor);
          const rows = await audit.page({ ...query, workspace, limit: limit + 1, cursor: after });
          const items = rows.slice(0, limit);
          const last = items.at(-1);
          return rows.length > limit && last ? { items, next: String(last.sequence) } : { items };
        },
      );
    }
    app.get(
      '/v1/audit/chain',
      {
        config: { role: 'owner', installation: true },
        schema: { tags, summary: 'From where to where the chain reaches', response: { 200: auditChainBody } },
      },
      async () => audit.ends(),
    );
  };
}

function readCursor(cursor: string): number {
  if (/^[0-9]{1,15}$/.test(cursor)) return Number(cursor);
  throw new AppError('request.invalid', 'query: cursor is not one that this list gave out');
}
