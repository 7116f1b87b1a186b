import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { probationSchema, type UpdatePolicy } from '#shared/protocol/desired.js';
import { desiredSetOf } from '#agent/reconcile/next-set.js';
import { entry, sameSet } from '#agent/reconcile/observed.js';
import {
  desiredOf,
  type Fate,
  moduleNumber,
  SimulatedDevice,
  versionKeyOf,
} from '#test/support/agent/reconcile-builders.js';

const names = ['a', 'b', 'c'];
const imageCount = 6;
const probation = probationSchema.parse({ windowSeconds: 20, minRequests: 10 });
const updates: fc.Arbitrary<UpdatePolicy | undefined> = fc.constantFrom(
  undefined,
  { probation, keepVersions: 2, maxDeferSeconds: 60 },
  { probation, keepVersions: 2, maxDeferSeconds: 60, atomic: 'g' },
  { keepVersions: 2, maxDeferSeconds: 60, atomic: 'g' },
);
const modules = fc.dictionary(fc.constantFrom(...names), fc.tuple(fc.integer({ min: 1, max: imageCount }), updates), {
  maxKeys: 3,
});
const history = fc
  .array(modules, { minLength: 1, maxLength: 4 })
  .map((entries) =>
    entries.map((set, index) =>
      desiredOf(
        index + 1,
        Object.fromEntries(Object.entries(set).map(([name, [number, update]]) => [name, moduleNumber(number, update)])),
      ),
    ),
  );
const fates = fc
  .array(fc.constantFrom<Fate>('good', 'good', 'rejected', 'flaky', 'errs', 'dies'), {
    minLength: imageCount,
    maxLength: imageCount,
  })
  .map(
    (list) =>
      (digest: string): Fate =>
        list[Number.parseInt(digest.slice(-2), 16) - 1] ?? 'good',
  );
const pauses = fc.array(fc.nat(30), { maxLength: 4 });
const boundedRounds = 2_000;

/** Follows a history, each document accepted wherever the device has come to by then. */
function follow(documents: ReturnType<typeof desiredOf>[], fateOf: (digest: string) => Fate, steps: number[]) {
  const device = new SimulatedDevice(fateOf);
  for (const [index, desired] of documents.entries()) {
    device.accept(desired);
    if (index === documents.length - 1) break;
    for (let step = 0; step < (steps[index] ?? 30); step++) device.step();
  }
  const { plan } = device.settle(boundedRounds);
  return { device, plan };
}

describe('a device that is told a history in which versions are watched', () => {
  it('commits only to what passed: the committed set is never one that is on probation', () => {
    fc.assert(
      fc.property(history, fates, pauses, (documents, fateOf, steps) => {
        const { device } = follow(documents, fateOf, steps);
        for (const { action, before, desired } of device.done) {
          if (before.probation === undefined) continue;
          // While it is on, the way back is what is committed, whole.
          expect(sameSet(before.probation.fallback, before.committed.set)).toBe(true);
          if (action.kind !== 'commitSet') continue;
          expect(before.probation.crash).toBeUndefined();
          // By the word that counts now: a later document may have shortened it.
          const windows = before.probation.watched.map(
            (name) => entry(desired?.modules ?? {}, name)?.update?.probation?.windowSeconds ?? 0,
          );
          const windowMs = 1000 * Math.max(...windows);
          if (windowMs > 0)
            expect(before.probation.sample?.at ?? 0).toBeGreaterThanOrEqual(before.probation.since + windowMs);
        }
      }),
    );
  });

  it('gives one verdict a generation: what failed its probation never answers again in it', () => {
    fc.assert(
      fc.property(history, fates, pauses, (documents, fateOf, steps) => {
        const { device } = follow(documents, fateOf, steps);
        const refused = new Map<string, Set<string>>();
        for (const { action, generation, before } of device.done) {
          const gone = refused.get(String(generation)) ?? new Set();
          refused.set(String(generation), gone);
          if (action.kind === 'returnSet')
            for (const name of action.failed) gone.add(`${name} ${before.probation?.changed[name] ?? ''}`);
          if (action.kind === 'switchSet')
            for (const [name, key] of Object.entries(action.set)) expect(gone.has(`${name} ${key}`)).toBe(false);
        }
      }),
    );
  });

  it('tears no group apart: its modules come to answer in one switch, or none of them does', () => {
    fc.assert(
      fc.property(history, fates, pauses, (documents, fateOf, steps) => {
        const { device } = follow(documents, fateOf, steps);
        for (const { action, before, desired } of device.done) {
          if (action.kind !== 'switchSet' || desired === undefined) continue;
          const members = Object.keys(desired.modules).filter((name) => desired.modules[name]?.update?.atomic === 'g');
          const changed = members.filter((name) => action.set[name] !== entry(before.serving.set, name));
          if (changed.length === 0) continue;
          for (const name of members) expect(action.set[name]).toBe(desiredSetOf(desired)[name]);
        }
      }),
    );
  });

  it('comes to rest in bounded rounds, off probation, with the committed set answering', () => {
    fc.assert(
      fc.property(history, fates, pauses, (documents, fateOf, steps) => {
        const { device, plan } = follow(documents, fateOf, steps);
        expect(plan.actions).toEqual([]);
        expect(device.observed.probation).toBeUndefined();
        expect(sameSet(device.observed.serving.set, device.observed.committed.set)).toBe(true);
      }),
    );
  });

  it('never waits for a busy module beyond what its policy allows', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 200_000 }), fc.integer({ min: 0, max: 60 }), (untilMs, maxDeferSeconds) => {
        const device = new SimulatedDevice(() => 'good');
        device.accept(desiredOf(1, { a: moduleNumber(1) }));
        device.settle(boundedRounds);
        const begun = device.now;
        device.take({ kind: 'deferred', module: 'a', until: begun + untilMs, reason: 'busy' });
        device.accept(desiredOf(2, { a: moduleNumber(2, { keepVersions: 2, maxDeferSeconds }) }));
        device.settle(boundedRounds);
        expect(device.observed.serving.set['a']).toBe(versionKeyOf(moduleNumber(2)));
        const bound = Math.min(untilMs, maxDeferSeconds * 1000);
        const switched = device.done.findLast(({ action }) => action.kind === 'switchSet');
        expect(switched?.at ?? 0).toBeGreaterThanOrEqual(begun + bound);
        expect(device.now).toBeLessThanOrEqual(begun + bound + 100);
      }),
    );
  });
});
