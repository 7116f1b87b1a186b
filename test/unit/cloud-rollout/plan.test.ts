import { describe, expect, it } from 'vitest';
import { afterOrder } from '#cloud/rollout/apply.js';
import { observe } from '#cloud/rollout/observe.js';
import { planRollout } from '#cloud/rollout/plan.js';
import { type RolloutPolicy, rolloutPolicySchema, unavailableBudget } from '#cloud/rollout/policy.js';
import { ratePerMinute } from '#cloud/rollout/rate.js';
import { classOf } from '#cloud/rollout/judge.js';
import type { Rollout, RolloutDevice } from '#cloud/rollout/rollout-model.js';
import { divideIntoWaves } from '#cloud/rollout/waves.js';
import { queued } from '#test/support/rollout-world.js';

const now = 10_000_000;
const policyOf = (given: object = {}): RolloutPolicy => rolloutPolicySchema.parse({ waves: [], ...given });
const running: Rollout = {
  ...{ id: '1', state: 'running', wave: 0, waves: 1, waveStartedAt: 0, approvedBefore: 0, countedFrom: now },
};
const device = (name: string, given: Partial<RolloutDevice> = {}): RolloutDevice => ({ ...queued(name, 0), ...given });
const ended = (name: string, standing: RolloutDevice['standing'], given: Partial<RolloutDevice> = {}): RolloutDevice =>
  device(name, { standing, endedAt: now - 1000, touched: true, attempts: 1, ...given });
const plan = (devices: readonly RolloutDevice[], policy = policyOf(), rollout = running) =>
  planRollout({ rollout, policy, devices, now });
const names = (prefix: string, count: number): string[] =>
  Array.from({ length: count }, (_, index) => `${prefix}${String(index)}`);

describe('waves', () => {
  it('count shares from the beginning, round up, and leave the rest to a last one', () => {
    const fleet = names('d', 25).map((name) => ({ device: name, canary: name === 'd7' }));
    const policy = policyOf({ waves: [{ where: 'canary' }, { percent: 10 }, { count: 5 }, { percent: 60 }] });
    const waves = divideIntoWaves('1', policy, fleet);
    expect(waves.map((wave) => wave.length)).toEqual([1, 2, 5, 7, 10]);
    expect(waves[0]).toEqual(['d7']);
    expect(new Set(waves.flat()).size).toBe(25);
  });

  it('begin with other devices in each rollout', () => {
    const fleet = names('d', 100).map((name) => ({ device: name, canary: false }));
    const firsts = names('', 20).map((id) => divideIntoWaves(id, policyOf({ waves: [{ count: 1 }] }), fleet)[0]?.[0]);
    expect(new Set(firsts).size).toBeGreaterThan(10);
  });
});

describe('how many at once', () => {
  it('a share is at least one device', () => {
    expect(unavailableBudget({ maxUnavailable: '25%' }, 3)).toBe(1);
    expect(unavailableBudget({ maxUnavailable: '25%' }, 1000)).toBe(250);
    expect(unavailableBudget({ maxUnavailable: 7 }, 3)).toBe(7);
  });

  it('a rate grows with what succeeded, up to its bound', () => {
    const rate = { perMinute: 5, factor: 2, everySucceeded: 10, maxPerMinute: 30 };
    const succeeded = (count: number) => names('d', count).map((name) => ended(name, 'succeeded'));
    expect([0, 9, 10, 20, 30, 100].map((count) => ratePerMinute(succeeded(count), rate))).toEqual([
      5, 5, 10, 20, 30, 30,
    ]);
  });

  it('a rate lets through so many a minute, and says when the next may go', () => {
    const policy = policyOf({ maxUnavailable: '100%', rate: { perMinute: 2 } });
    const recent = ended('a', 'succeeded', { assignedAt: now - 40_000 });
    const { assignments, waiting } = plan([recent, device('b'), device('c')], policy);
    expect(assignments).toHaveLength(1);
    expect(waiting.find(({ kind }) => kind === 'rate')?.until).toBe(now + 20_000);
  });
});

describe('thresholds', () => {
  const failures = { failure: { maxPercent: 20, minExecuted: 5 }, success: { minPercent: 50 } };

  it('say nothing before the minimum was executed, and are over what was executed, not over all', () => {
    const rest = names('r', 20).map((name) => device(name));
    const policy = policyOf(failures);
    expect(plan([ended('a', 'failed'), ended('b', 'failed'), ...rest], policy).transition).toBeUndefined();
    const five = names('f', 2).map((name) => ended(name, 'failed'));
    const good = names('s', 3).map((name) => ended(name, 'succeeded'));
    expect(plan([...five, ...good, ...rest], policy).transition).toMatchObject({
      kind: 'pause',
      reason: { code: 'failures', text: '2 of 5 failed in wave 1, more than 20%' },
    });
  });

  it('hold a wave of which nobody could be reached, whatever the policy says of failure', () => {
    const away = ended('a', 'unreachable', { touched: false, online: false });
    expect(plan([away], policyOf({ onFailure: 'rollback' })).transition).toMatchObject({
      kind: 'pause',
      reason: { code: 'nothing-executed' },
    });
  });

  it('let go on what a person has accepted', () => {
    const devices = [ended('a', 'failed'), device('b', { wave: 1 })];
    const two = { ...running, waves: 2 };
    const paused = plan(devices, policyOf({ waves: [{ count: 1 }] }), two).transition;
    if (paused?.kind !== 'pause') throw new Error('it should pause');
    const resumed = afterOrder(
      { ...two, state: 'paused', pausedAt: now - 500, reason: paused.reason },
      { kind: 'resume' },
      now,
    );
    expect(resumed.countedFrom).toBe(now + 500);
    expect(plan(devices, policyOf({ waves: [{ count: 1 }] }), resumed).transition).toEqual({
      kind: 'advance',
      wave: 1,
    });
  });
});

describe('a device', () => {
  it('that is away is not asked, and waits until it counts as unreachable', () => {
    const policy = policyOf({ unreachable: { afterSeconds: 60 } });
    const away = device('a', { online: false, offlineSince: now - 30_000 });
    expect(plan([away], policy)).toMatchObject({
      assignments: [],
      waiting: [{ kind: 'offline', until: now + 30_000 }],
    });
    const gone = device('a', { online: false, offlineSince: now - 60_000 });
    expect(plan([gone], policy).outcomes).toMatchObject([{ standing: 'unreachable' }]);
  });

  it('that comes back has its turn', () => {
    const back = ended('a', 'unreachable', { touched: false });
    expect(
      plan([back, device('b', { standing: 'changing', assignedAt: now })], policyOf({ maxUnavailable: 2 })),
    ).toMatchObject({
      assignments: [{ device: 'a', action: 'deploy' }],
    });
  });

  it('that has the release already succeeds without being asked', () => {
    const there = device('a', { observed: { kind: 'there' } });
    expect(plan([there])).toMatchObject({ assignments: [], outcomes: [{ device: 'a', standing: 'succeeded' }] });
  });

  it('that answered and then failed is a failure', () => {
    const problem = { code: 'process.failed', message: 'stopped' };
    const fallen = ended('a', 'succeeded', { observed: { kind: 'failed', problem } });
    expect(plan([fallen, device('b')]).outcomes).toMatchObject([{ device: 'a', standing: 'failed', reason: problem }]);
  });

  it('that another rollout holds waits for that', () => {
    const joiners = [{ device: 'z', claimedBy: '7' }, { device: 'y' }];
    const { joins, waiting } = planRollout({
      rollout: running,
      policy: policyOf(),
      devices: [device('a')],
      joiners,
      now,
    });
    expect(joins).toEqual(['y']);
    expect(waiting).toContainEqual(expect.objectContaining({ device: 'z', kind: 'claimed', detail: '7' }));
  });

  it('is tried again by what its error says of that', () => {
    expect(['golden.mismatch', 'golden.too-slow', 'disk.full', 'nobody.knows'].map(classOf)).toEqual([
      ...['never', 'later', 'changed', 'later'],
    ]);
  });
});

describe('what a twin says', () => {
  const twin = { retired: false, desiredGeneration: 5, desiredRelease: 'v:2', convergedGeneration: 4 };
  const asked = { release: 'v:2', generation: 5, digests: new Set(['wanted']) };
  const reported = (generation: number, modules: object = {}, refused?: object) =>
    ({ generation, converged: false, modules, ...(refused ? { refused } : {}) }) as never;
  const candidate = (state: string, digest = 'wanted') => ({
    m: { candidate: { digest, version: 2, state, reason: { code: 'x', message: 'y' } } },
  });

  it.each([
    ['another version was rejected', { ...twin, reported: reported(5, candidate('rejected', 'other')) }, 'working'],
    ['it is there', { ...twin, convergedGeneration: 5 }, 'there'],
    ['it is there, issued again', { ...twin, desiredGeneration: 9, convergedGeneration: 9 }, 'there'],
    ['somebody deployed since', { ...twin, desiredRelease: '' }, 'overtaken'],
    ['it is retired', { ...twin, retired: true }, 'gone'],
    ['nothing is heard', twin, 'working'],
    ['a rejection of before', { ...twin, reported: reported(4, candidate('rejected')) }, 'working'],
    ['it rejects', { ...twin, reported: reported(5, candidate('rejected')) }, 'failed'],
    ['it tries again itself', { ...twin, reported: reported(5, candidate('failed')) }, 'working'],
    [
      'it refuses',
      { ...twin, reported: reported(4, {}, { generation: 5, problem: { code: 'a', message: 'b' } }) },
      'failed',
    ],
    ['it refused before', { ...twin, reported: reported(4, {}, { generation: 4, problem: {} }) }, 'working'],
  ])('%s', (_what, given, kind) => {
    expect(observe(given, asked).kind).toBe(kind);
  });
});
