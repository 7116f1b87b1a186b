/** Which routes run, from the modules that answer. Pure. */
import type { ModuleManifest } from '#shared/package/module-manifest.js';
import { deviceRouteProblems, moduleRoutes } from '#shared/package/routes/check-routes.js';
import { isInward } from '#shared/package/routes/module-ports.js';
import type { QueuePolicy, Route, RouteOverrides } from '#shared/protocol/route.js';
import type { QueueLimits } from './bounded-queue.js';

/** A module as it answers now. */
export interface ActiveModule {
  readonly name: string;
  readonly manifest: ModuleManifest;
  readonly overrides: RouteOverrides | undefined;
}

export interface PlannedRoute {
  readonly module: string;
  readonly name: string;
  readonly route: Route;
  readonly flavor: ModuleManifest['flavor'];
  readonly direction: 'in' | 'out';
  readonly limits: QueueLimits;
  /** Why it does not run. */
  readonly problem?: string;
}

export function planRoutes(modules: readonly ActiveModule[]): PlannedRoute[] {
  const all = modules.map(({ name, manifest, overrides }) => [name, moduleRoutes(manifest, overrides)] as const);
  const problems = deviceRouteProblems(Object.fromEntries(all));
  return all.flatMap(([module, { flavor, routes }]) =>
    Object.entries(routes).map(([name, route]) => {
      const problem = problems.find((one) => one.module === module && one.route === name)?.message;
      return {
        module,
        name,
        route,
        flavor,
        direction: isInward(route) ? ('in' as const) : ('out' as const),
        limits: limitsOf(route),
        ...(problem === undefined ? {} : { problem }),
      };
    }),
  );
}

const usualQueue = { size: 100, maxBytes: 16 * 1024 * 1024 };

export function limitsOf({ from, queue }: Route): QueueLimits {
  return { ...usualQueue, ...queue, policy: queue?.policy ?? usualPolicy(from) };
}

function usualPolicy(from: Route['from']): QueuePolicy {
  if ('folder' in from) return 'block';
  return 'http' in from ? 'drop-newest' : 'drop-oldest';
}

/** One line for people. */
export function routeText({ from, to }: Route): string {
  return `${endText(from)} -> ${endText(to)}`;
}

function endText(end: Route['from'] | Route['to']): string {
  if ('topic' in end) return `topic ${end.topic}${end.broker === undefined ? '' : ` at ${end.broker}`}`;
  if ('folder' in end) return `folder ${end.folder}/${end.match}`;
  if ('cron' in end) return `timer ${end.cron}`;
  if ('http' in end) return `http ${end.http}`;
  if ('cloud' in end) return `cloud ${end.cloud}`;
  if ('file' in end) return `file ${end.file}`;
  const port = 'input' in end ? `input ${end.input}` : `output ${end.output}`;
  return 'module' in end ? `${end.module} ${port}` : port;
}
