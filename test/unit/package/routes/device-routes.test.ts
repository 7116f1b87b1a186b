import { parse } from 'yaml';
import { describe, expect, it } from 'vitest';
import { moduleManifestSchema } from '#shared/package/module-manifest.js';
import { deviceRouteProblems, moduleRoutes } from '#shared/package/routes/check-routes.js';
import { type RouteOverrides, routeOverridesSchema } from '#shared/protocol/route.js';

const models = [{ name: 'a', file: 'a.onnx' }];

/** Modules with scripts by name, each with its routes in YAML. */
function problems(modules: Record<string, string>, overrides: Record<string, RouteOverrides> = {}): string[] {
  const all = Object.entries(modules).map(([name, yaml]) => {
    const routes = parse(yaml) as unknown;
    const manifest = moduleManifestSchema.parse({ schema: 1, name, flavor: 'node', entry: 's.js', models, routes });
    return [name, moduleRoutes(manifest, overrides[name])] as const;
  });
  return deviceRouteProblems(Object.fromEntries(all)).map(
    ({ module, route, message }) => `${module}.${route}: ${message}`,
  );
}

const detector = 'found: { from: { output: found }, to: { module: tracker, input: amlInput } }';

describe('the routes of several modules', () => {
  it('may lead from one to the next', () => {
    expect(problems({ detector, tracker: 'out: { from: { output: amlOutput }, to: { topic: tracks } }' })).toEqual([]);
  });

  it('may name a module that is not there', () => {
    expect(problems({ detector })).toEqual([]);
  });

  it('do not lead to an input that the other module has not', () => {
    const strange = 'a: { from: { output: found }, to: { module: tracker, input: boxes } }';
    expect(problems({ detector: strange, tracker: '{}' })).toEqual([
      'detector.a: module tracker has no input "boxes"; it has amlInput',
    ]);
  });

  it('do not take an output that the other module has not', () => {
    const strange = 'a: { from: { module: detector, output: lost }, to: { input: amlInput } }';
    expect(problems({ detector: '{}', tracker: strange })).toEqual([
      'tracker.a: module detector has no output "lost"; it has amlOutput',
    ]);
  });

  it('do not go in a circle, over a route of either side', () => {
    const back = 'back: { from: { module: tracker, output: amlOutput }, to: { input: amlInput } }';
    const found = problems({ detector: `${detector}\n${back}`, tracker: '{}' });
    expect(found).toHaveLength(2);
    expect(found[0]).toMatch(/part of a circle: detector\.found, then detector\.back/);
  });

  it('do not go in a circle over topics', () => {
    const there = 'in: { from: { topic: a }, to: { input: amlInput } }\nout: { from: { output: x }, to: { topic: b } }';
    const back = 'in: { from: { topic: b }, to: { input: amlInput } }\nout: { from: { output: x }, to: { topic: a } }';
    expect(problems({ there, back })[0]).toMatch(/part of a circle/);
  });

  it('do not take the files from each other', () => {
    const one = 'in: { from: { folder: camera }, to: { input: amlInput } }';
    expect(problems({ one, two: one })).toEqual(['two.in: module one takes the files of folder camera already']);
  });

  it('count as a deployment changes them', () => {
    const back = 'back: { from: { module: tracker, output: amlOutput }, to: { input: amlInput } }';
    const off = routeOverridesSchema.parse({ back: null });
    expect(problems({ detector: `${detector}\n${back}`, tracker: '{}' }, { detector: off })).toEqual([]);
  });
});
