import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { sameSet } from '#agent/reconcile/observed.js';
import { desiredSetOf } from '#agent/reconcile/next-set.js';
import type { UpdatePolicy } from '#shared/protocol/desired.js';
import { probationSchema } from '#shared/protocol/desired.js';
import { LateDevice } from '#test/support/agent/late-device.js';
import { desiredOf, moduleNumber } from '#test/support/agent/reconcile-builders.js';

const watched: UpdatePolicy = {
  probation: probationSchema.parse({ windowSeconds: 1, minRequests: 1 }),
  keepVersions: 2,
  maxDeferSeconds: 600,
};
const histories = fc.array(fc.dictionary(fc.constantFrom('a', 'b'), fc.integer({ min: 1, max: 3 })), {
  minLength: 2,
  maxLength: 5,
});
/** What happens next: a document comes, an action begins, one ends, a host ends by itself, time passes. */
const happenings = fc.array(
  fc.oneof(
    { weight: 2, arbitrary: fc.constant({ kind: 'document' } as const) },
    { weight: 6, arbitrary: fc.constant({ kind: 'begin' } as const) },
    { weight: 6, arbitrary: fc.nat(5).map((choice) => ({ kind: 'end', choice }) as const) },
    { weight: 1, arbitrary: fc.constant({ kind: 'crash' } as const) },
    { weight: 1, arbitrary: fc.integer({ min: 1, max: 5_000 }).map((ms) => ({ kind: 'time', ms }) as const) },
  ),
  { minLength: 10, maxLength: 80 },
);

describe('documents that come while a device is between two steps', () => {
  it.each([
    ['without probation', undefined],
    ['with probation', watched],
  ])('lead to the last of them, %s', (_how, update) => {
    fc.assert(
      fc.property(histories, happenings, (sets, story) => {
        const device = new LateDevice(() => 'good');
        const documents = sets.map((set, index) =>
          desiredOf(
            index + 1,
            Object.fromEntries(Object.entries(set).map(([name, number]) => [name, moduleNumber(number, update)])),
          ),
        );
        const [last] = documents.slice(-1);
        if (last === undefined) return;
        const waiting = [...documents];
        const next = (): void => {
          const document = waiting.shift();
          if (document !== undefined) device.accept(document);
        };
        next();
        for (const one of story) {
          if (one.kind === 'document') next();
          else if (one.kind === 'begin') device.begin();
          else if (one.kind === 'end') device.end(one.choice);
          else if (one.kind === 'crash') device.hostEnds();
          else device.now += one.ms;
        }
        if (device.desired !== last) device.accept(last);
        expect(device.settle(600).plan.converged).toBe(true);
        expect(sameSet(device.observed.serving.set, desiredSetOf(last))).toBe(true);
      }),
      { numRuns: 500 },
    );
  });
});
