import { beforeEach, describe, expect, it } from 'vitest';
import { shadowTrackOf } from '#agent/reconcile/shadows.js';
import { versionKeyOf } from '#agent/reconcile/observed.js';
import {
  desiredOf,
  type Fate,
  moduleNumber,
  SimulatedDevice,
  withShadow,
} from '#test/support/agent/reconcile-builders.js';

const key = (number: number): string => versionKeyOf(moduleNumber(number));
const track = shadowTrackOf('digits');

describe('a device that is to shadow version 2 beside version 1', () => {
  let device: SimulatedDevice;
  let fate: Fate;
  beforeEach(() => {
    fate = 'good';
    device = new SimulatedDevice((digest) => (digest.endsWith('2') ? fate : 'good'));
    device.accept(desiredOf(1, { digits: moduleNumber(1) }));
    device.settle(100);
    device.done.length = 0;
    device.accept(desiredOf(2, { digits: withShadow(moduleNumber(1), 2) }));
  });
  const did = (): string[] => device.done.map(({ action }) => action.kind);
  const shadow = () => device.observed.shadows['digits'];

  it('reaches its generation at once, and fetches, starts and mirrors beside what answers', () => {
    const { plan } = device.settle(100);
    expect(did()).toEqual(['startFetch', 'commitSet', 'startShadow', 'mirrorShadow']);
    expect(shadow()).toMatchObject({ key: key(2), process: { state: 'running' } });
    expect(device.observed.serving.set).toEqual({ digits: key(1) });
    expect(plan).toEqual({ actions: [], waiting: [], converged: true });
  });

  it('is converged while the shadow is on its way', () => {
    device.take({ kind: 'fetchStarted', track, key: key(2) });
    device.act({ kind: 'commitSet', generation: 2, set: { digits: key(1) } });
    expect(device.plan()).toMatchObject({ converged: true, waiting: [{ kind: 'fetching', module: track }] });
  });

  it('changes the share that is copied without starting anything anew', () => {
    device.settle(100);
    device.done.length = 0;
    device.accept(desiredOf(3, { digits: withShadow(moduleNumber(1), 2, 5) }));
    device.settle(100);
    expect(did()).toEqual(['commitSet', 'mirrorShadow']);
  });

  it('ends the shadow when the document has it no more', () => {
    device.settle(100);
    device.accept(desiredOf(3, { digits: moduleNumber(1) }));
    device.settle(100);
    expect(device.observed.shadows).toEqual({});
    expect(did()).toContain('stopShadow');
  });

  it('takes over what shadowed without fetching it again', () => {
    device.settle(100);
    device.done.length = 0;
    device.accept(desiredOf(3, { digits: moduleNumber(2) }));
    device.settle(100);
    expect(did()).not.toContain('startFetch');
    expect(device.observed.serving.set).toEqual({ digits: key(2) });
    expect(device.observed.shadows).toEqual({});
  });

  it('restarts a shadow that ends a few times, then refuses it in this generation, and goes on serving', () => {
    fate = 'dies';
    const { plan } = device.settle(100);
    expect(did().filter((kind) => kind === 'startShadow')).toHaveLength(4);
    expect(device.observed.tracks[track]).toMatchObject({ state: 'rejected', problem: { code: 'shadow.failed' } });
    expect(device.observed.shadows).toEqual({});
    expect(plan).toMatchObject({ converged: true, actions: [], waiting: [{ kind: 'rejected', module: track }] });
    device.accept(desiredOf(3, { digits: withShadow(moduleNumber(1), 2) }));
    expect(device.plan().actions.map(({ kind }) => kind)).toContain('startFetch');
  });

  it('begins a shadow that hangs while it is proved anew', () => {
    device.act({ kind: 'startFetch', track, key: key(2), image: moduleNumber(2).image });
    device.take({ kind: 'shadowStarting', module: 'digits', key: key(2) });
    const waiting = device.plan().waiting.find((one) => one.kind === 'starting');
    if (waiting === undefined) throw new Error('it does not wait');
    device.now = waiting.deadline;
    expect(device.plan().actions).toContainEqual({ kind: 'startShadow', module: 'digits', key: key(2) });
  });

  it('remembers a refusal over a restart, for this generation only', () => {
    const problem = { code: 'golden.mismatch', message: 'differs' } as const;
    const desired = desiredOf(2, { digits: withShadow(moduleNumber(1), 2) });
    const restarted = new SimulatedDevice(() => 'good');
    restarted.take({ kind: 'desiredAccepted', desired, rejections: { [track]: { key: key(2), problem } } });
    expect(restarted.observed.tracks[track]).toMatchObject({ state: 'rejected', problem });
  });

  it('begins none while the version to compare to is being replaced', () => {
    device.accept(desiredOf(3, { digits: withShadow(moduleNumber(3), 2) }));
    device.settle(100);
    expect(did().indexOf('startShadow')).toBeGreaterThan(did().indexOf('switchSet'));
  });

  it('does not shadow a version by itself', () => {
    device.accept(desiredOf(3, { digits: withShadow(moduleNumber(1), 1) }));
    device.settle(100);
    expect(did()).not.toContain('startShadow');
  });
});
