/** Whether the routes of all modules of a device fit together, from the manifests in their images. */
import { AppError } from '#shared/kernel/errors.js';
import type { ModuleManifest } from '#shared/package/module-manifest.js';
import { deviceRouteProblems, moduleRoutes } from '#shared/package/routes/check-routes.js';
import type { DeployedModule } from './desired-document.js';

/** @throws AppError `route.invalid`, naming the route and what is wrong with it */
export async function checkDeviceRoutes(
  modules: readonly DeployedModule[],
  manifestOf: (imageDigest: string) => Promise<ModuleManifest>,
): Promise<void> {
  const routed = await Promise.all(
    modules.map(async ({ module, image, routes }) => {
      return [module, moduleRoutes(await manifestOf(image.digest), routes)] as const;
    }),
  );
  const [first] = deviceRouteProblems(Object.fromEntries(routed));
  if (first === undefined) return;
  throw new AppError(
    'route.invalid',
    `route ${first.route} of module ${first.module}: ${first.message}; deploy the modules that go together in one change, or give a route another way, or none, with --route ${first.route}=…`,
    { details: { module: first.module, route: first.route } },
  );
}
