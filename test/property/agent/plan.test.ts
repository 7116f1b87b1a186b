import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Desired } from '#shared/protocol/desired.js';
import { entry, sameSet } from '#agent/reconcile/observed.js';
import { desiredSetOf } from '#agent/reconcile/next-set.js';
import { planDevice } from '#agent/reconcile/plan.js';
import { defaultPolicy } from '#agent/reconcile/policy.js';
import {
  desiredOf,
  type Fate,
  imageNumber,
  moduleNumber,
  SimulatedDevice,
} from '#test/support/agent/reconcile-builders.js';

const names = ['a', 'b', 'c', 'constructor'];
const imageCount = 6;

const modules = fc.dictionary(fc.constantFrom(...names), fc.integer({ min: 1, max: imageCount }), { maxKeys: 4 });
const prefetch = fc.uniqueArray(fc.integer({ min: 1, max: imageCount }), { maxLength: 3 });
const history = fc.array(fc.tuple(modules, prefetch), { minLength: 1, maxLength: 4 }).map((entries) =>
  entries.map(([set, ahead], index) =>
    desiredOf(
      index + 1,
      Object.fromEntries(
        Object.entries(set).map(([name, number]) => [
          name,
          // Circles too, which only who makes a release refuses.
          { ...moduleNumber(number), ...(number % 2 === 0 ? { startAfter: names.slice(0, number / 2) } : {}) },
        ]),
      ),
      ahead.map((number) => imageNumber(number)),
    ),
  ),
);
const fates = (...choices: Fate[]) =>
  fc.array(fc.constantFrom<Fate>(...choices), { minLength: imageCount, maxLength: imageCount }).map(
    (list) =>
      (digest: string): Fate =>
        list[Number.parseInt(digest.slice(-2), 16) - 1] ?? 'good',
  );

const boundedRounds = 400;

describe('a device that is told a history of desired documents', () => {
  it('converges in bounded rounds when every version works in the end', () => {
    fc.assert(
      fc.property(history, fates('good', 'flaky'), (documents, fateOf) => {
        const device = new SimulatedDevice(fateOf);
        for (const desired of documents) {
          device.accept(desired);
          const { plan } = device.settle(boundedRounds);
          expect(plan.converged).toBe(true);
          expect(sameSet(device.observed.serving.set, desiredSetOf(desired))).toBe(true);
        }
      }),
    );
  });

  it('converges when documents come faster than it can follow', () => {
    fc.assert(
      fc.property(
        history,
        fates('good', 'flaky'),
        fc.array(fc.nat(12), { maxLength: 4 }),
        (documents, fateOf, pauses) => {
          const device = new SimulatedDevice(fateOf);
          for (const [index, desired] of documents.entries()) {
            device.accept(desired);
            for (let step = 0; step < (pauses[index] ?? 0); step++) {
              const [action] = device.plan().actions;
              if (action !== undefined) device.act(action);
            }
          }
          expect(device.settle(boundedRounds).plan.converged).toBe(true);
        },
      ),
    );
  });

  it('never tries a rejected version again in its generation, and serves everything else', () => {
    fc.assert(
      fc.property(history, fates('good', 'rejected', 'flaky'), (documents, fateOf) => {
        const device = new SimulatedDevice(fateOf);
        for (const desired of documents) {
          device.accept(desired);
          device.done.length = 0;
          device.settle(boundedRounds);
          for (const { action, before } of device.done) {
            if (action.kind === 'startFetch') expect(entry(before.tracks, action.track)?.state).not.toBe('rejected');
            if (action.kind === 'prepareSet') {
              for (const [name, key] of Object.entries(action.set)) {
                const track = entry(before.tracks, name);
                expect(track?.state === 'rejected' && track.key === key && before.serving.set[name] !== key).toBe(
                  false,
                );
              }
            }
          }
          expectServed(device, desired);
        }
      }),
    );
  });

  it('never replaces what answers by a version that is not proved', () => {
    fc.assert(
      fc.property(history, fates('good', 'rejected', 'flaky', 'crashes'), (documents, fateOf) => {
        const device = new SimulatedDevice(fateOf);
        for (const desired of documents) {
          device.accept(desired);
          device.settle(boundedRounds);
        }
        for (const { action, before } of device.done) {
          if (action.kind === 'switchSet') {
            for (const [name, key] of Object.entries(action.set)) {
              if (before.serving.set[name] !== key) expect(entry(before.tracks, name)?.state).toBe('proved');
            }
          }
          // The replaced host goes only after what replaced it is on disk.
          if (action.kind === 'dropRetired') expect(sameSet(before.committed.set, before.serving.set)).toBe(true);
        }
      }),
    );
  });

  it('never lets the committed generation fall', () => {
    fc.assert(
      fc.property(history, fates('good', 'rejected', 'flaky'), (documents, fateOf) => {
        const device = new SimulatedDevice(fateOf);
        for (const desired of documents) {
          device.accept(desired);
          device.settle(boundedRounds);
        }
        let last = 0;
        for (const { action } of device.done) {
          if (action.kind !== 'commitSet') continue;
          expect(action.generation).toBeGreaterThanOrEqual(last);
          last = action.generation;
        }
      }),
    );
  });

  it('gives the same plan whatever order names stand in, and says what it waits for when it does nothing', () => {
    fc.assert(
      fc.property(history, fates('good', 'rejected', 'flaky'), fc.nat(15), (documents, fateOf, steps) => {
        const device = new SimulatedDevice(fateOf);
        for (const desired of documents) {
          device.accept(desired);
          for (let step = 0; step < steps; step++) {
            const plan = device.plan();
            const { desired: wanted, observed } = device;
            const turned = planDevice({
              desired: wanted && { ...wanted, modules: reversed(wanted.modules) },
              observed: {
                ...observed,
                tracks: reversed(observed.tracks),
                serving: { ...observed.serving, set: reversed(observed.serving.set) },
              },
              policy: defaultPolicy,
              now: device.now,
              calendar: device.calendar,
            });
            expect(turned).toEqual(plan);
            if (plan.actions.length === 0 && !plan.converged) expect(plan.waiting.length).toBeGreaterThan(0);
            const [action] = plan.actions;
            if (action === undefined) break;
            device.act(action);
          }
        }
      }),
    );
  });

  it('keeps a module that was removed out of what answers', () => {
    const device = new SimulatedDevice(() => 'good');
    device.accept(desiredOf(1, { a: moduleNumber(1), b: moduleNumber(2) }));
    device.settle(boundedRounds);
    device.accept(desiredOf(2, { a: moduleNumber(1) }));
    device.settle(boundedRounds);
    expect(Object.keys(device.observed.serving.set)).toEqual(['a']);
  });
});

/** New where it works, the incumbent or nothing where it was rejected. */
function expectServed(device: SimulatedDevice, desired: Desired): void {
  for (const [name, key] of Object.entries(desiredSetOf(desired))) {
    const rejected = entry(device.observed.tracks, name)?.state === 'rejected';
    if (rejected) expect(device.observed.serving.set[name]).not.toBe(key);
    else expect(entry(device.observed.serving.set, name)).toBe(key);
  }
  for (const name of Object.keys(device.observed.serving.set)) expect(Object.hasOwn(desired.modules, name)).toBe(true);
}

function reversed<T>(record: Readonly<Record<string, T>>): Record<string, T> {
  return Object.fromEntries(Object.entries(record).toReversed());
}
