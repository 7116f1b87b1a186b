import { describe, expect, it } from 'vitest';
import { type CohortInput, type Cohorts, cohortsOf, maxCohort, type Member } from '#cloud/rollout/gates/cohorts.js';
import { checkGates, type Gate, gateSchema, gatesSchema } from '#cloud/rollout/gates/gate-kinds.js';
import type { GateVerdict } from '#cloud/rollout/gates/gate-model.js';
import { describeVerdict } from '#cloud/rollout/gates/gate-words.js';
import { judgeGates } from '#cloud/rollout/gates/judge-gates.js';
import { type ModuleNumbers, noNumbers } from '#cloud/telemetry/cohort-numbers.js';
import { addToSketch } from '#shared/protocol/sketch.js';
import { addCategory, addNumber, emptySummary } from '#shared/protocol/summary.js';

const gateOf = (fields: object): Gate => gateSchema.parse(fields);
const hour = 3_600_000;
const now = 100 * hour;

const asked = (device: string, wave: number, given: Partial<Member> = {}): Member => ({
  ...{ device, wave, standing: 'succeeded', assignedAt: now, endedAt: now + 5000 },
  ...{ previous: new Map([['eye', 'old']]), ...given },
});
const waiting = (device: string, wave: number): Member => ({ device, wave, standing: 'queued' });
const input = (members: readonly Member[], given: Partial<CohortInput> = {}): CohortInput => ({
  rollout: { id: '1', wave: 0, waveStartedAt: now - 1000 },
  ...{ startedAt: now - hour, members, released: new Map([['eye', new Set(['new'])]]), ...given },
});
const latency = (given: object = {}): Gate => gateOf({ kind: 'latency', maxRatio: 2, ...given });
const found = (gate: Gate, of: CohortInput): readonly Cohorts[] => {
  const cohorts = cohortsOf(gate, of);
  if ('what' in cohorts) throw new Error(cohorts.text);
  return cohorts;
};

describe('whose numbers a gate judges by', () => {
  it('are those of the new version since the wave’s devices were asked, and of the one before on the same devices', () => {
    const members = [asked('a', 0), asked('b', 0, { standing: 'overtaken' }), asked('c', 1), waiting('d', 1)];
    expect(found(latency({ skipSeconds: 30 }), input(members))).toEqual([
      {
        ...{ module: 'eye', label: 'eye' },
        candidate: [{ device: 'a', fromMs: now + 30_000, digests: ['new'], settled: { fromMs: now + 30_000 } }],
        reference: [
          {
            device: 'a',
            fromMs: now - hour,
            toMs: undefined,
            digests: ['old'],
            settled: { fromMs: now - hour, toMs: now },
          },
        ],
      },
    ]);
  });

  it('are of devices that were not asked yet, where peers are the reference; in the last wave of all, before', () => {
    const peers = latency({ reference: 'peers' });
    const [first] = found(peers, input([asked('a', 0), waiting('b', 1), waiting('c', 2)]));
    expect(first?.reference.map(({ device, fromMs }) => `${device} ${String(fromMs)}`).sort()).toEqual([
      ...[`b ${String(now - 1000)}`, `c ${String(now - 1000)}`],
    ]);
    const [last] = found(peers, input([asked('a', 0), asked('b', 0)]));
    expect(last?.reference.map(({ device, fromMs }) => `${device} ${String(fromMs)}`).sort()).toEqual([
      ...[`a ${String(now - hour)}`, `b ${String(now - hour)}`],
    ]);
  });

  it('are of each module that the release changes, apart, and of none that stays', () => {
    const previous = new Map([
      ['eye', 'old'],
      ['ear', 'same'],
    ]);
    const released = new Map([
      ['ear', new Set(['same'])],
      ['eye', new Set(['new'])],
      ['nose', new Set(['first'])],
    ]);
    const of = input([asked('a', 0, { previous })], { released });
    expect(found(latency(), of).map(({ module }) => module)).toEqual(['eye', 'nose']);
    expect(cohortsOf(latency({ module: 'ear' }), of)).toMatchObject({ what: 'version' });
  });

  it('are nobody’s while no device of the wave was asked, which it says', () => {
    expect(cohortsOf(latency(), input([waiting('a', 0), asked('b', 1)]))).toEqual({
      ...{ what: 'samples', text: 'no device of wave 1 has it yet' },
    });
  });

  it('are of so many devices at most, the same for any order', () => {
    const members = Array.from({ length: maxCohort + 100 }, (_, index) => asked(`d${String(index)}`, 0));
    const [one] = found(latency(), input(members));
    expect(one?.candidate).toHaveLength(maxCohort);
    expect(found(latency(), input([...members].reverse()))).toEqual([one]);
  });
});

function numbers(given: { times?: readonly number[]; failed?: number; labels?: string; scores?: readonly number[] }) {
  const { times = [], failed = 0, labels = '', scores = [] } = given;
  const of: ModuleNumbers = { ...noNumbers(), devices: 1, requests: times.length + failed };
  for (const ms of times) addToSketch(of.latency, ms);
  if (failed > 0) of.errors.set('inference.failed', failed);
  const [label, score] = [emptySummary('categories'), emptySummary('numbers')];
  for (const one of labels) addCategory(label, one, undefined);
  for (const one of scores) addNumber(score, one, undefined);
  of.outputs.set('label', label).set('score', score);
  return of;
}

const say = (gate: Gate, candidate: ModuleNumbers, reference = noNumbers()): GateVerdict | undefined =>
  judgeGates({ g: gate }, [{ gate: 'g', evidence: [{ module: 'eye', devices: 1, candidate, reference }] }])[0];
const many = (count: number, value: number): number[] => new Array<number>(count).fill(value);

describe('a gate', () => {
  it('of latency fails one three times as slow, and passes one that is as fast', () => {
    const before = numbers({ times: many(600, 10) });
    expect(say(latency(), numbers({ times: many(200, 30) }), before)?.verdict).toBe('fail');
    expect(say(latency(), numbers({ times: many(600, 11) }), before)?.verdict).toBe('pass');
    expect(say(latency(), numbers({ times: many(600, 11) }))?.lack?.text).toBe('0 of 200 answers to compare with');
  });

  it('of errors says how many requests it takes where few samples show nothing', () => {
    const gate = gateOf({ kind: 'errors', maxPercent: 1 });
    expect(say(gate, numbers({ times: many(200, 1) }))?.lack).toMatchObject({ what: 'clarity', needed: 473 });
    expect(say(gate, numbers({ times: many(196, 1), failed: 4 }))?.verdict).toBe('undecided');
    expect(say(gate, numbers({ times: many(1600, 1), failed: 40 }))?.verdict).toBe('fail');
  });

  it('of invalid numbers fails at the first that is NaN or out of range, and counts those within it as right', () => {
    const gate = gateOf({ kind: 'invalid', module: 'eye', tensor: 'output.score', min: 0, max: 1 });
    expect(say(gate, numbers({ scores: [...many(300, 0.5), 1, 0] }))?.verdict).toBe('pass');
    for (const wrong of [Number.NaN, Number.POSITIVE_INFINITY, 1.5, -0.001]) {
      expect(say(gate, numbers({ scores: [...many(20, 0.5), wrong] }))?.verdict).toBe('fail');
    }
    expect(say(gate, { ...noNumbers(), requests: 9 })?.lack?.text).toMatch(/^eye tells nothing of output\.score: ask/);
  });

  it('of drift fails on other classes and on moved scores, not on chance', () => {
    const classes = gateOf({ kind: 'drift', module: 'eye', tensor: 'output.label' });
    const even = numbers({ labels: '0123456789'.repeat(40) });
    const uneven = [...'0123456789'].map((label, index) => label.repeat(index % 2 === 0 ? 24 : 36)).join('');
    expect(say(classes, numbers({ labels: uneven }), even)).toMatchObject({ verdict: 'pass', samples: 300 });
    expect(say(classes, numbers({ labels: '0123456789'.repeat(40) }), even)?.verdict).toBe('pass');
    expect(say(classes, numbers({ labels: '0000000009'.repeat(40) }), even)?.verdict).toBe('fail');
    const scores = gateOf({ kind: 'drift', module: 'eye', tensor: 'output.score' });
    const ramp = (by: number): number[] => Array.from({ length: 400 }, (_, index) => (index % 40) - 20 + by);
    expect(say(scores, numbers({ scores: ramp(0) }), numbers({ scores: ramp(0) }))?.verdict).toBe('pass');
    expect(say(scores, numbers({ scores: ramp(15) }), numbers({ scores: ramp(0) }))?.verdict).toBe('fail');
    // One value before, another below it now: no bin of the reference holds both.
    expect(say(scores, numbers({ scores: many(400, 0.2) }), numbers({ scores: many(400, 1) }))?.verdict).toBe('fail');
  });

  it('of memory compares the means of readings', () => {
    const gate = gateOf({ kind: 'memory', maxRatio: 1.5, minSamples: 3 });
    const of = (count: number, mean: number): ModuleNumbers => ({
      ...noNumbers(),
      memory: { count, sum: count * mean },
    });
    expect(say(gate, of(3, 2e8), of(9, 1e8))?.verdict).toBe('fail');
    expect(say(gate, of(3, 1.4e8), of(9, 1e8))?.verdict).toBe('pass');
    expect(say(gate, of(2, 1e8), of(9, 1e8))?.lack?.text).toBe('2 of 3 readings');
  });

  it('is told in one sentence with its numbers', () => {
    const verdict = say(latency(), numbers({ times: many(200, 30) }), numbers({ times: many(600, 10) }));
    expect(verdict && describeVerdict(verdict)).toBe(
      'gate g: p99 latency of eye is 30 ms, more than 20 ms (10 ms to compare with), of 200',
    );
  });

  it('with nothing to hold it to, or with a window that ends before it begins, is refused', () => {
    const check = (gate: object) => () => checkGates(gatesSchema.parse({ g: gate }));
    expect(check({ kind: 'latency' })).toThrow('policy: gates.g: give maxMs, maxRatio or both');
    const reference = { from: '2026-01-02T00:00:00.000Z', to: '2026-01-01T00:00:00.000Z' };
    expect(check({ kind: 'latency', maxRatio: 2, reference })).toThrow(
      'policy: gates.g.reference: from is not before to',
    );
  });
});
