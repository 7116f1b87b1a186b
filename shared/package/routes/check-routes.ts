/**
 * Do the routes of a module hold together, by themselves and with those of the other modules of a device?
 * Asked when an image is built, when a desired document is composed, and on the device. Pure.
 */
import { type Route, type RouteOverrides, type Routes, routesWith } from '#shared/protocol/route.js';
import type { ModuleManifest } from '../module-manifest.js';
import type { OnnxSignature } from '../onnx/read-onnx.js';
import { routeProblem } from './check-route.js';
import { isInward, type ModulePorts, portsOf } from './module-ports.js';
import { cycleText, edgesOf, findCycle } from './route-graph.js';

export interface RouteProblem {
  readonly route: string;
  readonly message: string;
}

export interface ModuleRoutes {
  readonly flavor: ModuleManifest['flavor'];
  readonly ports: ModulePorts;
  readonly routes: Routes;
  /** For flavor onnx, where its graph was read. */
  readonly signature?: OnnxSignature | undefined;
}

/** The routes of a module on a device: those of its manifest, with what the desired document says instead. */
export function moduleRoutes(manifest: ModuleManifest, overrides?: RouteOverrides): ModuleRoutes {
  return { flavor: manifest.flavor, ports: portsOf(manifest), routes: routesWith(manifest.routes, overrides) };
}

/** Of a module by itself, in the order of its routes. */
export function ownRouteProblems(module: ModuleRoutes, name: string): RouteProblem[] {
  const each = Object.entries(module.routes).flatMap(([route, value]) => {
    const message = routeProblem(value, module);
    return message === undefined ? [] : [{ route, message }];
  });
  if (each.length > 0) return each;
  const cycle = findCycle(edgesOf({ [name]: module.routes }).filter(({ from }) => from === name));
  const first = cycle?.[0]?.routes[0];
  const circle = first && { route: first.route, message: `it goes in a circle: ${cycleText(cycle)}` };
  return [...(circle === undefined ? [] : [circle]), ...claimedTwice(Object.entries(module.routes))];
}

/**
 * Of all modules of one device, by module. A module that is named and not there is no problem of the routes:
 * it may come later, and until then what goes to it is dropped and counted.
 */
export function deviceRouteProblems(
  modules: Readonly<Record<string, ModuleRoutes>>,
): (RouteProblem & { readonly module: string })[] {
  const alone = Object.entries(modules).flatMap(([module, its]) =>
    [...ownRouteProblems(its, module), ...strangePorts(its.routes, modules)].map((problem) => ({ module, ...problem })),
  );
  if (alone.length > 0) return alone;
  const routesOf = Object.fromEntries(Object.entries(modules).map(([name, { routes }]) => [name, routes]));
  const cycle = findCycle(edgesOf(routesOf));
  const circle = (cycle ?? []).flatMap(({ routes }) =>
    routes.map(({ module, route }) => ({
      module,
      route,
      message: `it is part of a circle: ${cycle === undefined ? '' : cycleText(cycle)}`,
    })),
  );
  return circle.length > 0 ? circle : sharedFolders(routesOf);
}

function strangePorts(routes: Routes, modules: Readonly<Record<string, ModuleRoutes>>): RouteProblem[] {
  return Object.entries(routes).flatMap(([route, { from, to }]) => {
    if ('module' in from) return strange(route, from.module, 'output', from.output, modules);
    return 'module' in to ? strange(route, to.module, 'input', to.input, modules) : [];
  });
}

function strange(
  route: string,
  other: string,
  kind: 'input' | 'output',
  port: string,
  modules: Readonly<Record<string, ModuleRoutes>>,
): RouteProblem[] {
  const there = Object.hasOwn(modules, other) ? modules[other]?.ports[`${kind}s`] : undefined;
  if (there === undefined || there.includes(port)) return [];
  return [{ route, message: `module ${other} has no ${kind} "${port}"; it has ${there.join(', ')}` }];
}

function claimedTwice(routes: readonly (readonly [string, Route])[]): RouteProblem[] {
  const claims = new Map<string, string>();
  return routes.flatMap(([name, route]) => {
    const claim = claimOf(route);
    if (claim === undefined) return [];
    const before = claims.get(claim);
    claims.set(claim, before ?? name);
    return before === undefined ? [] : [{ route: name, message: `route ${before} has the ${claim} already` }];
  });
}

function claimOf(route: Route): string | undefined {
  if (isInward(route)) {
    if ('folder' in route.from) return `folder ${route.from.folder}`;
    return 'http' in route.from ? `address ${route.from.http}` : undefined;
  }
  return 'file' in route.to ? `file ${route.to.file}` : undefined;
}

/** Two modules would take the files from each other. */
function sharedFolders(modules: Readonly<Record<string, Routes>>): (RouteProblem & { readonly module: string })[] {
  const owners = new Map<string, string>();
  return Object.entries(modules).flatMap(([module, routes]) =>
    Object.entries(routes).flatMap(([route, { from }]) => {
      if (!('folder' in from)) return [];
      const owner = owners.get(from.folder);
      owners.set(from.folder, owner ?? module);
      if (owner === undefined || owner === module) return [];
      return [{ module, route, message: `module ${owner} takes the files of folder ${from.folder} already` }];
    }),
  );
}
