import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Desired } from '#shared/protocol/desired.js';
import { wantedShadows } from '#agent/reconcile/shadows.js';
import {
  desiredOf,
  type Fate,
  moduleNumber,
  SimulatedDevice,
  versionKeyOf,
  withShadow,
} from '#test/support/agent/reconcile-builders.js';

const module = fc.tuple(fc.integer({ min: 1, max: 3 }), fc.option(fc.integer({ min: 1, max: 4 })));
const history = fc
  .array(fc.dictionary(fc.constantFrom('a', 'b', 'constructor'), module), { minLength: 1, maxLength: 4 })
  .map((entries) =>
    entries.map((set, index) =>
      desiredOf(
        index + 1,
        Object.fromEntries(
          Object.entries(set).map(([name, [number, shadow]]) => {
            const own = moduleNumber(number);
            return [name, shadow === null ? own : withShadow(own, shadow)];
          }),
        ),
      ),
    ),
  );
const fates = fc.array(fc.constantFrom<Fate>('good', 'flaky', 'rejected', 'dies'), { minLength: 4, maxLength: 4 }).map(
  (list) =>
    (digest: string): Fate =>
      list[Number(digest.slice(-1)) - 1] ?? 'good',
);

function follow(documents: readonly Desired[], fateOf: (digest: string) => Fate, steps: readonly number[]) {
  const device = new SimulatedDevice(fateOf);
  const answering: unknown[] = [];
  for (const [index, desired] of documents.entries()) {
    device.accept(desired);
    for (let step = 0; step < (steps[index] ?? 0); step++) device.step();
    device.settle(400);
    answering.push(device.observed.serving.set, device.observed.committed, device.plan().converged);
  }
  return { device, answering };
}

describe('shadows', () => {
  it('change nothing of what answers, whatever becomes of them', () => {
    fc.assert(
      fc.property(history, fates, (documents, fateOf) => {
        const without = documents.map((desired) => ({
          ...desired,
          modules: Object.fromEntries(
            Object.entries(desired.modules).map(([name, { shadow: _, ...own }]) => [name, own]),
          ),
        }));
        expect(follow(documents, fateOf, []).answering).toEqual(follow(without, fateOf, []).answering);
      }),
      { numRuns: 60 },
    );
  });

  it('run in the end where they are wanted, work, and the version to compare to answers, and nowhere else', () => {
    fc.assert(
      fc.property(history, fates, fc.array(fc.nat(12), { maxLength: 4 }), (documents, fateOf, steps) => {
        const { device } = follow(documents, fateOf, steps);
        const { desired, observed } = device;
        const expected = (desired === undefined ? [] : wantedShadows(desired)).filter(({ module: name, shadow }) => {
          const module = desired?.modules[name];
          const answers = module !== undefined && observed.serving.set[name] === versionKeyOf(module);
          return ['good', 'flaky'].includes(fateOf(shadow.image.digest)) && answers;
        });
        const running = Object.entries(observed.shadows).map(([name, { key, process }]) => [name, key, process.state]);
        expect(running.sort()).toEqual(expected.map(({ module: name, key }) => [name, key, 'running']));
      }),
      { numRuns: 60 },
    );
  });
});
