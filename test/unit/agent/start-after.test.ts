import { beforeEach, describe, expect, it } from 'vitest';
import type { DesiredModule } from '#shared/protocol/desired.js';
import { type ProcessObservation, versionKeyOf } from '#agent/reconcile/observed.js';
import { defaultPolicy } from '#agent/reconcile/policy.js';
import { reportedStateOf } from '#agent/reconcile/report-state.js';
import { desiredOf, moduleNumber, SimulatedDevice } from '#test/support/agent/reconcile-builders.js';

const startsAfter = (number: number, ...startAfter: string[]): DesiredModule => ({
  ...moduleNumber(number),
  startAfter,
});
const key = (number: number): string => versionKeyOf(moduleNumber(number));

describe('a module that starts after another', () => {
  let device: SimulatedDevice;
  beforeEach(() => {
    device = new SimulatedDevice(() => 'good');
  });
  const stage = (track: string, number: number): void => {
    device.take({ kind: 'fetchStarted', track, key: key(number) });
    device.take({ kind: 'staged', track, key: key(number) });
  };
  const waitsFor = (): unknown => device.plan().waiting.find(({ kind }) => kind === 'startAfter');

  it('waits until that one is ready, and takes over with it', () => {
    device.accept(desiredOf(1, { detector: startsAfter(2, 'tracker'), tracker: moduleNumber(1) }));
    device.act({ kind: 'startServing', set: {} });
    stage('detector', 2);
    expect(waitsFor()).toEqual({
      kind: 'startAfter',
      module: 'detector',
      missing: ['tracker'],
      deadline: device.now + defaultPolicy.startAfterMs,
    });
    stage('tracker', 1);
    expect(device.plan().actions).toContainEqual({
      kind: 'prepareSet',
      set: { detector: key(2), tracker: key(1) },
    });
  });

  it('starts without it once it has waited long enough, and tells meanwhile for whom and until when', () => {
    device = new SimulatedDevice((digest) => (digest.endsWith('1') ? 'rejected' : 'good'));
    const desired = desiredOf(1, { detector: startsAfter(2, 'tracker'), tracker: moduleNumber(1) });
    device.accept(desired);
    while (waitsFor() === undefined) device.step();
    const report = reportedStateOf({
      ...{ desired, observed: device.observed, plan: device.plan(), offset: 0, served: {}, committed: {}, held: {} },
      ...{ previous: {}, refused: undefined, scoring: { address: '127.0.0.1', port: 1 } },
      capabilities: { agentVersion: '1', platform: 'x', cpus: 1, memoryBytes: 1, accelerators: ['cpu'], hostname: 'h' },
      trust: { version: 0, unsigned: [], problem: undefined },
    });
    expect(report.modules['detector']?.waitsFor?.modules).toEqual(['tracker']);
    expect(device.observed.serving.set).toEqual({});
    device.settle(100);
    expect(device.observed.serving.set).toEqual({ detector: key(2) });
    expect(device.now).toBeGreaterThan(defaultPolicy.startAfterMs);
  });

  it('is not held up by one that nothing desires', () => {
    device.accept(desiredOf(1, { detector: startsAfter(2, 'gone') }));
    device.settle(100);
    expect(device.observed.serving.set).toEqual({ detector: key(2) });
  });

  it('goes on answering in its version before while the next waits', () => {
    device.accept(desiredOf(1, { detector: moduleNumber(2) }));
    device.settle(100);
    device.accept(desiredOf(2, { detector: startsAfter(3, 'tracker'), tracker: moduleNumber(1) }));
    stage('detector', 3);
    expect(device.plan().actions.filter(({ kind }) => kind === 'prepareSet')).toEqual([]);
    expect(device.observed.serving.set).toEqual({ detector: key(2) });
  });

  it('is started again after it where both scripts ended, but not held up by one that is left alone', () => {
    device.accept(desiredOf(1, { detector: startsAfter(2, 'tracker'), tracker: moduleNumber(1) }));
    device.settle(100);
    const ended = { exits: [{ atMs: device.now, clean: false }], reason: 'killed' };
    const withTracker = (tracker: ProcessObservation): void => {
      const { serving } = device.observed;
      const scripts = { detector: { state: 'down', jitter: 0, ...ended } as const, tracker };
      device.observed = { ...device.observed, serving: { ...serving, scripts } };
    };
    const started = (): unknown[] => device.plan().actions.filter(({ kind }) => kind === 'startScript');
    withTracker({ state: 'starting', since: device.now, exits: [] });
    device.now += 30_000;
    expect(started()).toEqual([]);
    expect(waitsFor()).toMatchObject({ module: 'detector', missing: ['tracker'] });
    withTracker({ state: 'running', exits: [] });
    expect(started()).toEqual([{ kind: 'startScript', module: 'detector' }]);
    withTracker({ state: 'stopped', ...ended });
    expect(started()).toEqual([{ kind: 'startScript', module: 'detector' }]);
  });
});
