/** Which module's answers become which module's data, over routes and over topics; and where that goes in a circle. Pure. */
import { matchesFilter } from '#shared/protocol/local-topic.js';
import type { Route, Routes } from '#shared/protocol/route.js';

/** Routes by name of the module. */
export type RoutesOfModules = Readonly<Record<string, Routes>>;

export interface RouteEdge {
  readonly from: string;
  readonly to: string;
  /** For people: `camera.alarms`, or `camera.alarms -> plant/alarms -> gate.readings`. */
  readonly by: string;
  /** The routes that make it, `module` and `route`. */
  readonly routes: readonly { readonly module: string; readonly route: string }[];
}

export function edgesOf(modules: RoutesOfModules): RouteEdge[] {
  const all = Object.entries(modules).flatMap(([module, routes]) =>
    Object.entries(routes).map(([name, route]) => ({ module, name, route })),
  );
  return [
    ...all.flatMap(({ module, name, route }) => direct(module, name, route)),
    ...all.flatMap((one) => overTopics(one, all)),
  ];
}

/** @returns the edges of one circle in order; undefined when there is none */
export function findCycle(edges: readonly RouteEdge[]): readonly RouteEdge[] | undefined {
  const after = new Map<string, RouteEdge[]>();
  for (const edge of edges) after.set(edge.from, [...(after.get(edge.from) ?? []), edge]);
  const done = new Set<string>();
  const walk = (module: string, path: readonly RouteEdge[]): readonly RouteEdge[] | undefined => {
    const start = path.findIndex(({ from }) => from === module);
    if (start >= 0) return path.slice(start);
    if (done.has(module)) return undefined;
    for (const edge of after.get(module) ?? []) {
      const found = walk(edge.to, [...path, edge]);
      if (found !== undefined) return found;
    }
    done.add(module);
    return undefined;
  };
  for (const module of after.keys()) {
    const found = walk(module, []);
    if (found !== undefined) return found;
  }
  return undefined;
}

export function cycleText(cycle: readonly RouteEdge[]): string {
  return cycle.map(({ by }) => by).join(', then ');
}

interface Placed {
  readonly module: string;
  readonly name: string;
  readonly route: Route;
}

function direct(module: string, name: string, { from, to }: Route): RouteEdge[] {
  const routes = [{ module, route: name }];
  const by = `${module}.${name}`;
  if ('module' in from) return [{ from: from.module, to: module, by, routes }];
  if (!('output' in from)) return [];
  if ('module' in to) return [{ from: module, to: to.module, by, routes }];
  return 'input' in to ? [{ from: module, to: module, by, routes }] : [];
}

function overTopics({ module, name, route: { to } }: Placed, all: readonly Placed[]): RouteEdge[] {
  if (!('topic' in to)) return [];
  return all.flatMap((other) => {
    const { from } = other.route;
    if (!('topic' in from) || from.broker !== to.broker || !matchesFilter(to.topic, from.topic)) return [];
    return [
      {
        from: module,
        to: other.module,
        by: `${module}.${name} -> ${to.topic} -> ${other.module}.${other.name}`,
        routes: [
          { module, route: name },
          { module: other.module, route: other.name },
        ],
      },
    ];
  });
}
