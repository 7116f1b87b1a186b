import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { restartPolicySchema, updatePolicySchema } from '#shared/protocol/desired.js';
import { fieldChanges, type Layer, type LayerModule, mergeLayers, refuseConflict } from '#cloud/fleet/layers/merge.js';
import { layersToTake, type LayerRef, sameLayers } from '#cloud/fleet/layers/take.js';
import type { ReleasedModule } from '#cloud/fleet/release-plan.js';

const runs = { numRuns: 60 };
const image = fc.integer({ min: 1, max: 3 }).map((version) => ({ name: 'i', version, digest: `d${String(version)}` }));
const settings = fc.dictionary(fc.constantFrom('a', 'b', 'constructor'), fc.integer({ min: 0, max: 3 }), {
  noNullPrototype: true,
});
const route = { from: { output: 'o' }, to: { topic: 'a/b' } };
const said: fc.Arbitrary<LayerModule> = fc.record(
  {
    image,
    settings,
    routes: fc.dictionary(fc.constantFrom('r', 's'), fc.constantFrom(null, route), { noNullPrototype: true }),
    policy: fc.constant(restartPolicySchema.parse({ restart: 'never' })),
  },
  { requiredKeys: [] },
);
const modules = fc.dictionary(fc.constantFrom('m', 'n', 'o'), said, { minKeys: 1, noNullPrototype: true });
const layers: fc.Arbitrary<Layer[]> = fc
  .array(modules, { maxLength: 4 })
  .map((each) => each.map((one, index) => ({ name: `l${String(index)}`, version: 1, priority: index, modules: one })));
const below = (module: string, version: number, own: ReleasedModule['settings']): ReleasedModule => ({
  ...{ module, image: { name: 'i', version, digest: `d${String(version)}` }, settings: own },
  ...{ policy: restartPolicySchema.parse({}), update: updatePolicySchema.parse({}) },
  ...{ routes: {}, startAfter: [], requires: {} },
});
const base = fc
  .dictionary(fc.constantFrom('m', 'n'), fc.tuple(fc.integer({ min: 1, max: 3 }), settings), { noNullPrototype: true })
  .map((given) => Object.entries(given).map(([module, [version, own]]) => below(module, version, own)));

describe('layers over what lies below', () => {
  it('say the same in whichever order they and the modules come', () => {
    fc.assert(
      fc.property(base, layers, (given, over) => {
        const one = mergeLayers(given, over);
        expect(mergeLayers(given.toReversed(), over.toReversed())).toEqual(one);
      }),
      runs,
    );
  });

  it('hold field by field by the highest priority, and what each covers holds once it is gone', () => {
    fc.assert(
      fc.property(base, layers, (given, over) => {
        const { fields, modules: all } = mergeLayers(given, over);
        for (const { module, field, layer, value, covered } of fields) {
          const speakers = over.filter((one) => speaks(one, module, field));
          expect(layer).toBe(speakers.at(-1)?.name);
          const without = mergeLayers(
            given,
            over.filter(({ name }) => name !== layer || layer === undefined),
          );
          const next = without.fields.find((one) => one.module === module && one.field === field);
          if (layer === undefined) expect(next?.value).toEqual(value);
          // Without its image the whole module may be gone.
          else if (next !== undefined)
            expect({ layer: next.layer, value: next.value }).toEqual({ layer: undefined, ...covered[0] });
        }
        expect(all.map(({ module }) => module)).toEqual([...new Set(fields.map(({ module }) => module))]);
      }),
      runs,
    );
  });

  it('leave what lies below as it was when they are taken off, and change nothing that they do not say', () => {
    fc.assert(
      fc.property(base, layers, (given, over) => {
        expect(mergeLayers(given, []).modules).toEqual(given.toSorted((a, b) => (a.module < b.module ? -1 : 1)));
        for (const { module, field } of fieldChanges(given, mergeLayers(given, over).modules)) {
          const added = !given.some((one) => one.module === module);
          expect(added || over.some((layer) => speaks(layer, module, field))).toBe(true);
        }
      }),
      runs,
    );
  });

  it('are refused, with both names, where two of one priority say the same, and only there', () => {
    fc.assert(
      fc.property(modules, modules, (one, other) => {
        const [a, b] = [one, other].map((each, index) => {
          return { name: `l${String(index)}`, version: 1, priority: 5, modules: each };
        }) as [Layer, Layer];
        const both = fieldsIn(a).some((field) => fieldsIn(b).includes(field));
        const whole = ['m', 'n', 'o'].map((module) => below(module, 1, {}));
        for (const act of [() => mergeLayers(whole, [b, a]), () => refuseConflict(b, a)]) {
          if (both) expect(act).toThrow(/layers l0 and l1 both say .* of module .* at priority 5/);
          else expect(act).not.toThrow();
        }
      }),
      runs,
    );
  });

  it('say nothing of a module that nobody puts there', () => {
    const merged = mergeLayers([], [{ name: 'l', version: 1, priority: 1, modules: { m: { settings: { a: 1 } } } }]);
    expect(merged).toEqual({ modules: [], fields: [], idle: [{ module: 'm', layer: 'l' }] });
  });

  it('may not break what a module requires of another', () => {
    const given = [{ ...below('m', 1, {}), requires: { n: '<2' } }, below('n', 1, {})];
    const layer = {
      name: 'l',
      version: 1,
      priority: 1,
      modules: { n: { image: { name: 'i', version: 2, digest: 'd2' } } },
    };
    expect(() => mergeLayers(given, [layer])).toThrow('module m requires n <2');
  });
});

describe('which layers a device takes', () => {
  const has: LayerRef[] = [
    { name: 'gone', version: 1 },
    { name: 'live', version: 1 },
    { name: 'staged', version: 1 },
  ];
  const heads = [
    { name: 'live', version: 2, staged: false, matches: true },
    { name: 'new', version: 1, staged: false, matches: true },
    { name: 'other', version: 1, staged: false, matches: false },
    { name: 'staged', version: 2, staged: true, matches: true },
    { name: 'waiting', version: 1, staged: true, matches: true },
  ];
  const texts = (how: 'all' | 'live', of = has): string[] =>
    layersToTake(of, heads, how).map(({ name, version }) => `${name}:${String(version)}`);

  it('with a release all as they are now', () => {
    expect(texts('all')).toEqual(['live:2', 'new:1', 'staged:2', 'waiting:1']);
  });

  it('otherwise those that are live; what is staged, or was deleted for later, stays as it has it', () => {
    expect(texts('live')).toEqual(['gone:1', 'live:2', 'new:1', 'staged:1']);
    expect(texts('live', [...has, { name: 'other', version: 1 }])).not.toContain('other:1');
    expect(sameLayers(has, has.toReversed())).toBe(true);
    expect(sameLayers(has, has.slice(1))).toBe(false);
  });
});

function speaks(layer: Layer, module: string, field: string): boolean {
  return fieldsIn(layer).includes(`${module} ${field}`);
}

function fieldsIn({ modules: each }: Layer): string[] {
  return Object.entries(each).flatMap(([module, { settings: own = {}, routes = {}, ...whole }]) => [
    ...Object.keys(whole).map((field) => `${module} ${field}`),
    ...Object.keys(own).map((key) => `${module} settings.${key}`),
    ...Object.keys(routes).map((name) => `${module} routes.${name}`),
  ]);
}
