/** What a release means: whether its modules go together, and what deploying it changes on a device. Pure. */
import { AppError } from '#shared/kernel/errors.js';
import { formatReference, nearest } from '#shared/kernel/names.js';
import { findStartCircle } from '#shared/kernel/start-order.js';
import { canonicalJson } from '#shared/protocol/canonical-json.js';
import type { Desired, RestartPolicy, UpdatePolicy } from '#shared/protocol/desired.js';
import type { RouteOverrides } from '#shared/protocol/route.js';
import type { DeployedModule } from './desired-document.js';
import { inRange, parseVersionRange } from './version-range.js';

/** One module of a release, at an exact digest. */
export interface ReleasedModule {
  readonly module: string;
  readonly image: { readonly name: string; readonly version: number; readonly digest: string };
  readonly settings: Desired['modules'][string]['settings'];
  readonly policy: RestartPolicy;
  readonly update: UpdatePolicy;
  /** What takes the place of routes of the image. */
  readonly routes?: RouteOverrides;
  /** Modules of the same release that answer before it starts. */
  readonly startAfter?: readonly string[];
  /** Ranges of versions, by module of the same release. */
  readonly requires: Readonly<Record<string, string>>;
}

/** @throws AppError `release.invalid` that names the module, what it requires and what there is */
export function checkRequirements(modules: readonly ReleasedModule[]): void {
  const names = modules.map(({ module }) => module);
  for (const { module, requires } of modules) {
    for (const [required, text] of Object.entries(requires)) {
      const found = modules.find((other) => other.module === required);
      if (required === module) throw invalid(`module ${module} requires itself: leave that out`);
      if (found === undefined) {
        const near = nearest(required, names);
        const help = near === undefined ? `add it, or leave the requirement out` : `did you mean ${near}?`;
        throw invalid(`module ${module} requires ${required} ${text}, which is not in the release: ${help}`);
      }
      const range = parseVersionRange(text) ?? [];
      if (!inRange(found.image.version, range)) {
        throw invalid(
          `module ${module} requires ${required} ${text}, but the release has ${formatReference(found.image)}: ` +
            `release another version of one of them`,
        );
      }
    }
  }
}

/** @throws AppError `release.invalid` that names what is not there, or the circle */
export function checkStartOrder(modules: readonly Pick<ReleasedModule, 'module' | 'startAfter'>[]): void {
  const names = modules.map(({ module }) => module);
  for (const { module, startAfter = [] } of modules) {
    const unknown = startAfter.find((before) => !names.includes(before));
    if (unknown === undefined) continue;
    const near = nearest(unknown, names);
    const help = near === undefined ? 'add it, or leave it out' : `did you mean ${near}?`;
    throw invalid(`module ${module} starts after ${unknown}, which is not in the release: ${help}`);
  }
  const circle = findStartCircle(Object.fromEntries(modules.map((one) => [one.module, one.startAfter ?? []])));
  if (circle === undefined) return;
  throw invalid(`the start order is a circle: ${circle.join(' starts after ')}; leave one of them out`);
}

export type ModuleChange =
  | { readonly change: 'added'; readonly module: string; readonly after: ReleasedModule }
  | {
      readonly change: 'changed' | 'kept';
      readonly module: string;
      readonly before: DeployedModule;
      readonly after: ReleasedModule;
    }
  | { readonly change: 'removed'; readonly module: string; readonly before: DeployedModule };

/** From what a device should run now to a release, which is all that it then runs; by name of the module. */
export function planRelease(current: readonly DeployedModule[], release: readonly ReleasedModule[]): ModuleChange[] {
  const removed = current
    .filter(({ module }) => !release.some((one) => one.module === module))
    .map((before): ModuleChange => ({ change: 'removed', module: before.module, before }));
  const others = release.map((after): ModuleChange => {
    const { module } = after;
    const before = current.find((one) => one.module === module);
    if (before === undefined) return { change: 'added', module, after };
    return { change: sameModule(before, after) ? 'kept' : 'changed', module, before, after };
  });
  return [...removed, ...others].sort((a, b) => (a.module < b.module ? -1 : 1));
}

function sameModule(before: DeployedModule, after: ReleasedModule): boolean {
  return before.image.digest === after.image.digest && canonicalJson(partsOf(before)) === canonicalJson(partsOf(after));
}

type Terms = Pick<ReleasedModule, 'settings' | 'policy' | 'update' | 'routes' | 'startAfter'>;

/** Which modules it once took over together with says nothing of what it is. */
function partsOf({ settings, policy, update, routes = {}, startAfter = [] }: Terms): object {
  const { atomic: _atomic, ...rest } = update;
  return { settings, policy, update: rest, routes, startAfter: [...startAfter].sort() };
}

function invalid(message: string): AppError {
  return new AppError('release.invalid', message);
}
