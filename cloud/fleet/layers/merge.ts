/**
 * What a device runs, from what lies below and the layers over it. Each thing that can be said of a module (its image,
 * one key of its settings, one route, its policy, how it is updated) is decided by itself: the layer of the highest
 * priority that says it wins, and what it covers is kept for whoever asks. Pure.
 */
import { AppError } from '#shared/kernel/errors.js';
import { canonicalJson } from '#shared/protocol/canonical-json.js';
import { type Desired, restartPolicySchema, updatePolicySchema } from '#shared/protocol/desired.js';
import type { RouteOverrides } from '#shared/protocol/route.js';
import { checkRequirements, type ReleasedModule } from '../release-plan.js';

/** What a layer says of one module; what it leaves out stays as it is below. */
export interface LayerModule {
  /** Without it the layer changes a module that something below puts there. */
  readonly image?: ReleasedModule['image'] | undefined;
  readonly settings?: Desired['modules'][string]['settings'] | undefined;
  readonly routes?: RouteOverrides | undefined;
  readonly policy?: ReleasedModule['policy'] | undefined;
  readonly update?: ReleasedModule['update'] | undefined;
}

/** One version of a layer. */
export interface Layer {
  readonly name: string;
  readonly version: number;
  /** The higher covers the lower. */
  readonly priority: number;
  readonly modules: Readonly<Record<string, LayerModule>>;
}

/** Somebody who says something, and what. */
export interface Said {
  /** Absent: what lies below all layers. */
  readonly layer?: string;
  readonly value: unknown;
}

export interface ExplainedField extends Said {
  readonly module: string;
  /** `image`, `settings.<key>`, `routes.<name>`, `policy`, `update`, `startAfter`. */
  readonly field: string;
  /** What would hold without it, the nearest first. */
  readonly covered: readonly Said[];
}

export interface Merged {
  /** By name. */
  readonly modules: readonly ReleasedModule[];
  /** By module, then by field. */
  readonly fields: readonly ExplainedField[];
  /** Layers that change a module that nobody puts there. */
  readonly idle: readonly { readonly module: string; readonly layer: string }[];
}

interface Statement extends Said {
  readonly module: string;
  readonly field: string;
  /** Below all layers: -1. */
  readonly priority: number;
}

/** @throws AppError `layer.conflict`, `release.invalid` where a layer breaks what a module requires */
export function mergeLayers(base: readonly ReleasedModule[], layers: readonly Layer[]): Merged {
  const statements = [...base.flatMap(saidBelow), ...layers.flatMap(saidBy)];
  const byModule = grouped(statements, ({ module }) => module);
  const modules: ReleasedModule[] = [];
  const fields: ExplainedField[] = [];
  const idle: { module: string; layer: string }[] = [];
  for (const module of [...byModule.keys()].sort()) {
    const decided = decide(byModule.get(module) ?? []);
    const merged = moduleOf(
      module,
      decided,
      base.find((one) => one.module === module),
    );
    if (merged === undefined) {
      const names = layers.filter((layer) => Object.hasOwn(layer.modules, module)).map(({ name }) => name);
      idle.push(...names.sort().map((layer) => ({ module, layer })));
      continue;
    }
    modules.push(merged);
    fields.push(...decided);
  }
  if (layers.length > 0) checkRequirements(modules);
  return { modules, fields, idle };
}

/** @throws AppError `layer.conflict` where both, at one priority, say the same thing of a module */
export function refuseConflict(one: Layer, other: Layer): void {
  if (one.priority !== other.priority || one.name === other.name) return;
  const said = new Set(saidBy(other).map(({ module, field }) => `${module} ${field}`));
  const both = saidBy(one).find(({ module, field }) => said.has(`${module} ${field}`));
  if (both !== undefined) throw conflict(both, [one.name, other.name], one.priority);
}

function saidBelow({ module, image, settings, routes, policy, update, startAfter }: ReleasedModule): Statement[] {
  const order = startAfter === undefined || startAfter.length === 0 ? [] : [['startAfter', startAfter] as const];
  return [...fieldsOf({ image, settings, routes, policy, update }), ...order].map(
    ([field, value]): Statement => ({ module, field, value, priority: -1 }),
  );
}

function saidBy({ name, priority, modules }: Layer): Statement[] {
  return Object.entries(modules).flatMap(([module, said]) =>
    fieldsOf(said).map(([field, value]): Statement => ({ module, field, value, priority, layer: name })),
  );
}

function fieldsOf({ image, settings = {}, routes = {}, policy, update }: LayerModule): (readonly [string, unknown])[] {
  const whole = Object.entries({ image, policy, update }).filter(([, value]) => value !== undefined);
  return [
    ...whole,
    ...Object.entries(settings).map(([key, value]) => [`settings.${key}`, value] as const),
    ...Object.entries(routes).map(([key, value]) => [`routes.${key}`, value] as const),
  ];
}

/** Field by field, the highest priority first. */
function decide(statements: readonly Statement[]): ExplainedField[] {
  return [...grouped(statements, ({ field }) => field)]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([field, said]) => {
      const [first, ...rest] = said.toSorted((a, b) => b.priority - a.priority);
      if (first === undefined) throw new Error(`nobody says ${field}`);
      let above = first;
      for (const below of rest) {
        if (below.priority === above.priority) {
          throw conflict(below, [above.layer ?? '', below.layer ?? ''], below.priority);
        }
        above = below;
      }
      return { module: first.module, field, ...saidIn(first), covered: rest.map(saidIn) };
    });
}

function grouped(statements: readonly Statement[], by: (one: Statement) => string): Map<string, Statement[]> {
  const groups = new Map<string, Statement[]>();
  for (const one of statements) groups.set(by(one), [...(groups.get(by(one)) ?? []), one]);
  return groups;
}

function saidIn({ layer, value }: Statement): Said {
  return layer === undefined ? { value } : { layer, value };
}

/** @returns undefined where nobody says of which image it is */
function moduleOf(
  module: string,
  decided: readonly ExplainedField[],
  below: ReleasedModule | undefined,
): ReleasedModule | undefined {
  const values = new Map(decided.map(({ field, value }) => [field, value]));
  const image = values.get('image') as ReleasedModule['image'] | undefined;
  if (image === undefined) return undefined;
  const under = (prefix: string): Record<string, unknown> =>
    Object.fromEntries(
      decided
        .filter(({ field }) => field.startsWith(prefix))
        .map(({ field, value }) => [field.slice(prefix.length), value]),
    );
  return {
    ...{ module, image, settings: under('settings.') as ReleasedModule['settings'] },
    policy: (values.get('policy') as ReleasedModule['policy'] | undefined) ?? restartPolicySchema.parse({}),
    update:
      (values.get('update') as ReleasedModule['update'] | undefined) ?? updatePolicySchema.parse({ probation: {} }),
    routes: under('routes.') as RouteOverrides,
    startAfter: below?.startAfter ?? [],
    requires: below?.requires ?? {},
  };
}

function conflict({ module, field }: Statement, names: readonly string[], priority: number): AppError {
  const [one = '', other = ''] = [...names].sort();
  return new AppError(
    'layer.conflict',
    `layers ${one} and ${other} both say ${field} of module ${module} at priority ${String(priority)}: give one of them another priority`,
  );
}

export interface FieldChange {
  readonly module: string;
  readonly field: string;
  /** Absent: nothing of that name. */
  readonly from?: unknown;
  readonly to?: unknown;
}

/** In what two sets of modules differ, field by field. */
export function fieldChanges(before: readonly ReleasedModule[], after: readonly ReleasedModule[]): FieldChange[] {
  const [old, now] = [before, after].map(
    (modules) =>
      new Map(modules.flatMap(saidBelow).map((one) => [JSON.stringify([one.module, one.field]), one] as const)),
  );
  const keys = [...new Set([...(old?.keys() ?? []), ...(now?.keys() ?? [])])].sort();
  return keys.flatMap((key) => {
    const [from, to] = [old?.get(key), now?.get(key)];
    const one = from ?? to;
    if (one === undefined || (from && to && canonicalJson(from.value) === canonicalJson(to.value))) return [];
    const sides = { ...(from && { from: from.value }), ...(to && { to: to.value }) };
    return [{ module: one.module, field: one.field, ...sides }];
  });
}
