import * as z from 'zod';
import type { GarbageCollection } from '#cloud/registry/garbage-collection.js';
import type { Routes } from '../app.js';

const collectedBody = z.object({ dryRun: z.boolean(), blobs: z.int(), bytes: z.int() });

export function maintenanceRoutes({ garbage }: { readonly garbage: GarbageCollection }): Routes {
  return (app) => {
    app.post(
      '/v1/garbage-collection',
      {
        config: { role: 'owner', installation: true },
        schema: {
          tags: ['maintenance'],
          summary: 'Remove blobs that nothing uses and that are older than the grace period; dryRun only counts',
          body: z.strictObject({ dryRun: z.boolean().default(false) }),
          response: { 200: collectedBody },
        },
      },
      async (request) => {
        return { dryRun: request.body.dryRun, ...(await garbage.run(request.body)) };
      },
    );
  };
}
