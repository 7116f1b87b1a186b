import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  activeStates,
  applyPatch,
  candidateStates,
  diffReported,
  emptyReportedState,
  reportedSchema,
  type ReportedPatch,
  type ReportedState,
  reportedStateSchema,
} from '#shared/protocol/reported.js';

const digest = fc.constantFrom('a', 'b', 'c').map((letter) => `sha256:${letter.repeat(64)}`);
const version = fc.integer({ min: 1, max: 3 });
const reason = fc.record({
  code: fc.constantFrom('golden.mismatch', 'disk.full'),
  message: fc.string({ maxLength: 5 }),
});
const numbers = fc.dictionary(fc.constantFrom('bytesFetched', 'attempts'), fc.nat({ max: 3 }));
/** Every optional field there, absent, or there as undefined. */
const optional = { requiredKeys: ['digest', 'version', 'state'] as ['digest', 'version', 'state'] };
const active = fc.record(
  {
    digest,
    version,
    state: fc.constantFrom(...activeStates),
    provider: fc.constantFrom('cpu', 'cuda'),
    reason,
    numbers,
  },
  optional,
);
const candidate = fc.record({ digest, version, state: fc.constantFrom(...candidateStates), reason, numbers }, optional);
const moduleReport = fc.record({ active, candidate, previous: fc.record({ digest, version }) }, { requiredKeys: [] });
/** `constructor` is a valid name and a property of every object. */
const moduleName = fc.constantFrom('digits', 'faces', 'constructor', '0', '10');
const instant = fc.constantFrom('2026-11-23T09:00:00.000Z', '2026-11-23T09:00:01.000Z');
const state: fc.Arbitrary<ReportedState> = fc.record(
  {
    generation: fc.nat({ max: 5 }),
    converged: fc.boolean(),
    modules: fc.dictionary(moduleName, moduleReport, { noNullPrototype: true }),
    capabilities: fc.record({
      agentVersion: fc.constantFrom('0.1.0', '0.2.0'),
      platform: fc.constant('linux-x64'),
      cpus: fc.integer({ min: 1, max: 4 }),
      memoryBytes: fc.nat(),
      accelerators: fc.subarray(['cpu', 'cuda']),
      hostname: fc.constant('cam-1'),
    }),
    refused: fc.oneof(
      fc.constant(null),
      fc.record({ generation: fc.nat({ max: 3 }), problem: reason, at: instant }, { requiredKeys: ['problem', 'at'] }),
    ),
    scoring: fc.record({ address: fc.constant('127.0.0.1'), port: fc.integer({ min: 1, max: 3 }) }),
  },
  { requiredKeys: ['generation', 'converged', 'modules'] },
);

/** What the other side receives. */
function overTheWire(patch: ReportedPatch): ReportedPatch {
  const report = { schema: 1, bootId: 1, sequence: 2, base: 1, at: '2026-11-23T09:00:00.000Z', state: patch };
  return reportedSchema.parse(JSON.parse(JSON.stringify(report))).state;
}

/** In a state, null and absent mean the same. */
function normal({ refused, ...rest }: ReportedState): ReportedState {
  return JSON.parse(JSON.stringify(refused ? { ...rest, refused } : rest)) as ReportedState;
}

describe('a diff', () => {
  it('applied at the other end gives the new state, whatever appeared, changed or vanished', () => {
    fc.assert(
      fc.property(state, state, (from, to) => {
        const patch = diffReported(from, to);
        const reached = patch === undefined ? from : applyPatch(from, overTheWire(patch));
        expect(normal(reached)).toEqual(normal(to));
        expect(reportedStateSchema.safeParse(reached).success).toBe(true);
      }),
      { numRuns: 3000 },
    );
  });

  it('leads both ends through the same states, one report after another, from nothing on', () => {
    fc.assert(
      fc.property(fc.array(state, { maxLength: 8 }), (states) => {
        let there = emptyReportedState;
        let here = emptyReportedState;
        for (const next of states) {
          const patch = diffReported(here, next);
          if (patch !== undefined) there = applyPatch(there, overTheWire(patch));
          here = next;
          expect(normal(there)).toEqual(normal(here));
        }
        expect(diffReported(there, here)).toBeUndefined();
      }),
    );
  });

  it('is nothing between equal states, and says nothing of what stayed', () => {
    fc.assert(
      fc.property(state, state, (from, to) => {
        expect(diffReported(from, from)).toBeUndefined();
        expect(diffReported(from, normal(from))).toBeUndefined();
        const patch = diffReported(from, { ...to, scoring: from.scoring, modules: from.modules });
        expect(patch ?? {}).not.toHaveProperty('scoring');
        expect(patch ?? {}).not.toHaveProperty('modules');
      }),
    );
  });

  it('leaves both states as they were', () => {
    fc.assert(
      fc.property(state, state, (from, to) => {
        const before = JSON.stringify([from, to]);
        const patch = diffReported(from, to);
        if (patch !== undefined) applyPatch(from, patch);
        expect(JSON.stringify([from, to])).toBe(before);
      }),
    );
  });
});

it('a module with a name that every object inherits can go again', () => {
  const from: ReportedState = { ...emptyReportedState, modules: { constructor: {} } };
  expect(diffReported(from, emptyReportedState)).toEqual({ modules: { constructor: null } });
});

it.each(['capabilities', 'refused', 'scoring'] as const)('%s that vanishes is said to be gone', (field) => {
  const full: ReportedState = {
    ...emptyReportedState,
    capabilities: { agentVersion: '1', platform: 'p', cpus: 1, memoryBytes: 1, accelerators: [], hostname: 'h' },
    refused: { problem: { code: 'desired.invalid', message: 'm' }, at: '2026-11-23T09:00:00.000Z' },
    scoring: { address: '127.0.0.1', port: 1 },
  };
  const { [field]: _gone, ...rest } = full;
  expect(diffReported(full, rest)).toEqual({ [field]: null });
  expect(diffReported(full, { ...rest, [field]: undefined })).toEqual({ [field]: null });
});
