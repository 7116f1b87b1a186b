import type * as z from 'zod';
import type { Routes } from '../app.js';
import { serverBody } from '../schemas/server.js';

export interface ServerRouteDeps {
  /** Asked at each request: ports are known only when bound. */
  readonly server: () => z.output<typeof serverBody>;
}

export function serverRoutes({ server }: ServerRouteDeps): Routes {
  return (app) => {
    app.get(
      '/v1/server',
      {
        config: { role: 'reader' },
        schema: {
          tags: ['server'],
          summary: 'Version, keys and addresses of this control plane',
          response: { 200: serverBody },
        },
      },
      async () => server(),
    );
  };
}
