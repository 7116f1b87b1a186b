/** Tokens of a workspace, and the same below `/v1/tokens` for the whole installation. */
import * as z from 'zod';
import { toInstant } from '#shared/kernel/clock.js';
import type { ApiTokens } from '#cloud/auth/api-tokens.js';
import type { Principal } from '#cloud/auth/principal.js';
import type { Routes } from '../app.js';
import { pageOf, pageQuery, workspaceParams } from '../schemas/common.js';
import { createdToken, selfBody, tokenBody, tokenCreate } from '../schemas/tokens.js';

export interface TokenRouteDeps {
  readonly tokens: ApiTokens;
}

const tags = ['tokens'];
const idOf = { id: z.string().max(64) };
const scopes = [
  { path: '/v1/workspaces/:workspace/tokens', params: workspaceParams, installation: false },
  { path: '/v1/tokens', params: z.object({}), installation: true },
] as const;

export function tokenRoutes({ tokens }: TokenRouteDeps): Routes {
  return (app) => {
    app.get(
      '/v1/self',
      {
        config: { role: 'reader' },
        schema: { tags, summary: 'Who you are here, and what that allows', response: { 200: selfBody } },
      },
      async (request) => {
        const { expiresAtMs, ...self } = principalOf(request);
        return { ...self, expiresAt: expiresAtMs === undefined ? null : toInstant(expiresAtMs) };
      },
    );
    for (const { path, params, installation } of scopes) {
      const config = { role: 'owner', installation } as const;
      const reach = installation ? 'of the installation' : 'of the workspace';
      app.get(
        path,
        {
          config,
          schema: {
            tags,
            summary: `Tokens ${reach} by name, ended ones too`,
            params,
            querystring: pageQuery,
            response: { 200: pageOf(tokenBody) },
          },
        },
        async (request) => {
          const page = await tokens.list(workspaceIn(request.params), request.query);
          return { ...page, items: [...page.items] };
        },
      );
      app.post(
        path,
        {
          config,
          schema: {
            tags,
            summary: `Make a token ${reach}; its secret is shown only here`,
            params,
            body: tokenCreate,
            response: { 201: createdToken },
          },
        },
        async (request, reply) => {
          const { name, role, ttlSeconds } = request.body;
          const ttlMs = ttlSeconds === undefined ? undefined : ttlSeconds * 1000;
          const wish = { name, role, ttlMs, workspace: workspaceIn(request.params) };
          const { text, token } = await tokens.create(principalOf(request), wish);
          request.audited = { token: token.id, name, role, expiresAt: token.expiresAt };
          return reply.code(201).send({ ...token, token: text });
        },
      );
      app.delete(
        `${path}/:id`,
        {
          config,
          schema: {
            tags,
            summary: `Revoke a token ${reach}: at once, and for good`,
            params: params.extend(idOf),
            response: { 200: tokenBody },
          },
        },
        async (request) => {
          const token = await tokens.revoke(workspaceIn(request.params), request.params.id);
          request.audited = { name: token.name, role: token.role };
          return token;
        },
      );
    }
  };
}

function principalOf({ principal }: { readonly principal?: Principal }): Principal {
  if (principal === undefined) throw new Error('a route with a role was reached by nobody');
  return principal;
}

function workspaceIn(params: object): string | null {
  return 'workspace' in params && typeof params.workspace === 'string' ? params.workspace : null;
}
