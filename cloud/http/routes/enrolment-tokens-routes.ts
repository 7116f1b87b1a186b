import type { Enrolment } from '#cloud/fleet/enrolment.js';
import type { Routes } from '../app.js';
import { workspaceParams } from '../schemas/common.js';
import { enrolmentTokenBody, enrolmentTokenCreate } from '../schemas/devices.js';

export interface EnrolmentTokensRouteDeps {
  readonly enrolment: Enrolment;
  /** Asked at each request: ports are known only when bound. */
  readonly trust: () => { readonly gatewayUrl: string; readonly authority: string; readonly director: string };
}

export function enrolmentTokensRoutes({ enrolment, trust }: EnrolmentTokensRouteDeps): Routes {
  return (app) => {
    app.post(
      '/v1/workspaces/:workspace/enrolment-tokens',
      {
        config: { role: 'owner' },
        schema: {
          tags: ['devices'],
          summary: 'Make a one-time token with which one device enrols; its secret is shown only here',
          params: workspaceParams,
          body: enrolmentTokenCreate,
          response: { 201: enrolmentTokenBody },
        },
      },
      async (request, reply) => {
        const { workspace } = request.params;
        const { ttlSeconds, ...limits } = request.body;
        const token = await enrolment.createToken(workspace, ttlSeconds * 1000, limits);
        const { gatewayUrl, authority, director } = trust();
        return reply.code(201).send({ ...token, url: gatewayUrl, workspace, authority, director });
      },
    );
  };
}
