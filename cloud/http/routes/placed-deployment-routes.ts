/** Everything that answers in a workspace: deployments on devices and behind endpoints. */
import * as z from 'zod';
import { nameSchema } from '#shared/protocol/primitives.js';
import type { PlacedDeployments } from '#cloud/services/control/placed-deployments.js';
import type { Routes } from '../app.js';
import { pageOf } from '../schemas/common.js';
import { placedDeploymentBody, placedDeploymentQuery } from '../schemas/placed-deployments.js';

export function placedDeploymentRoutes({ placed }: { readonly placed: PlacedDeployments }): Routes {
  return (app) => {
    app.get(
      '/v1/workspaces/:workspace/deployments',
      {
        config: { role: 'reader' },
        schema: {
          tags: ['deployments'],
          summary: 'All that is to answer, behind endpoints and on devices',
          params: z.object({ workspace: nameSchema }),
          querystring: placedDeploymentQuery,
          response: { 200: pageOf(placedDeploymentBody) },
        },
      },
      async (request) => {
        const { items, ...more } = await placed.list(request.params.workspace, request.query);
        return { items: [...items], ...more };
      },
    );
  };
}
