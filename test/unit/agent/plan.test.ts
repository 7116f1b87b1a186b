import { beforeEach, describe, expect, it } from 'vitest';
import { versionKeyOf } from '#agent/reconcile/observed.js';
import { isPermanent } from '#agent/reconcile/observe-tracks.js';
import { defaultPolicy } from '#agent/reconcile/policy.js';
import { desiredOf, imageNumber, moduleNumber, SimulatedDevice } from '#test/support/agent/reconcile-builders.js';

const key = (number: number): string => versionKeyOf(moduleNumber(number));

describe('a device that serves version 1', () => {
  let device: SimulatedDevice;
  beforeEach(() => {
    device = new SimulatedDevice(() => 'good');
    device.accept(desiredOf(1, { digits: moduleNumber(1) }));
    device.settle(100);
  });
  const kinds = (): string[] => device.plan().actions.map(({ kind }) => kind);

  it('has nothing to do and waits for nothing', () => {
    expect(device.plan()).toEqual({ actions: [], waiting: [], converged: true });
  });

  it('restarts a crashed host while the next version downloads', () => {
    device.accept(desiredOf(2, { digits: moduleNumber(2) }));
    device.take({ kind: 'fetchStarted', track: 'digits', key: key(2) });
    device.take({ kind: 'hostExited', clean: false, reason: 'SIGSEGV' });
    const plan = device.plan();
    expect(plan.waiting).toEqual([
      { kind: 'restart', process: 'scoring host', deadline: expect.any(Number) as number, reason: 'SIGSEGV' },
      { kind: 'fetching', module: 'digits' },
    ]);
    device.now += 10_000;
    expect(device.plan().actions).toEqual([{ kind: 'startServing', set: { digits: key(1) } }]);
  });

  it('leaves a host that crashes again and again alone, and says so, until the next generation', () => {
    const policy = { restart: 'always', maxRestarts: 3, windowSeconds: 600 } as const;
    device.desired = desiredOf(1, { digits: { ...moduleNumber(1), policy } });
    for (let exit = 0; exit < 10 && device.observed.serving.host.state !== 'stopped'; exit++) {
      device.take({ kind: 'hostExited', clean: false, reason: 'SIGSEGV' });
      device.settle(10);
    }
    expect(device.observed.serving.host.state).toBe('stopped');
    expect(device.plan()).toMatchObject({ actions: [], waiting: [{ kind: 'stopped' }], converged: false });
    device.accept(desiredOf(2, { digits: moduleNumber(1) }));
    expect(kinds()).toContain('startServing');
  });

  it('waits with a deadline after a failed download, longer each time', () => {
    device.accept(desiredOf(2, { digits: moduleNumber(2) }));
    const pauses: number[] = [];
    for (let attempt = 0; attempt < 3; attempt++) {
      device.take({ kind: 'fetchStarted', track: 'digits', key: key(2) });
      device.take({
        kind: 'versionFailed',
        track: 'digits',
        key: key(2),
        problem: { code: 'blob.not-found', message: 'x' },
      });
      const [waiting] = device.plan().waiting;
      if (waiting?.kind !== 'backoff') throw new Error('no backoff');
      pauses.push(waiting.deadline - device.now);
      device.now = waiting.deadline;
      expect(kinds()).toContain('startFetch');
    }
    expect(pauses).toEqual([1500, 3000, 6000]);
  });

  it('names a full disk as what it waits for', () => {
    device.accept(desiredOf(2, { digits: moduleNumber(2) }));
    device.take({ kind: 'fetchStarted', track: 'digits', key: key(2) });
    const problem = { code: 'disk.full', message: 'x' } as const;
    device.take({ kind: 'versionFailed', track: 'digits', key: key(2), problem });
    expect(device.plan().waiting).toEqual([
      { kind: 'disk.full', module: 'digits', deadline: device.now + defaultPolicy.diskRetryMs, problem },
    ]);
  });

  it('gives up a candidate that does not load in time, and tries again later', () => {
    device.accept(desiredOf(2, { digits: moduleNumber(2) }));
    device.take({ kind: 'fetchStarted', track: 'digits', key: key(2) });
    device.take({ kind: 'staged', track: 'digits', key: key(2) });
    device.take({ kind: 'candidateStarting', set: { digits: key(2) } });
    expect(device.plan().waiting).toEqual([
      { kind: 'preparing', deadline: device.now + defaultPolicy.prepareTimeoutMs },
    ]);
    device.now += defaultPolicy.prepareTimeoutMs;
    expect(device.plan().actions).toMatchObject([{ kind: 'discardCandidate', because: 'timeout', failed: ['digits'] }]);
  });

  it('cancels a download that nothing asks for any more', () => {
    device.accept(desiredOf(2, { digits: moduleNumber(1), other: moduleNumber(2) }));
    device.take({ kind: 'fetchStarted', track: 'other', key: key(2) });
    device.accept(desiredOf(3, { digits: moduleNumber(1) }));
    expect(device.plan().actions).toContainEqual({ kind: 'cancelFetch', track: 'other' });
  });

  it('fetches what is to be prefetched after what is to run, and does not run it', () => {
    device.accept(desiredOf(2, { digits: moduleNumber(1) }, [imageNumber(7)]));
    device.settle(100);
    expect(device.observed.tracks[imageNumber(7).digest]?.state).toBe('staged');
    expect(device.observed.serving.set).toEqual({ digits: key(1) });
    expect(device.plan().converged).toBe(true);
  });

  it('replaces a running host by its like when a person asks for a restart', () => {
    device.take({ kind: 'restartAsked', module: 'digits' });
    expect(device.plan().actions).toEqual([{ kind: 'prepareSet', set: { digits: key(1) } }]);
    device.settle(50);
    expect(device.plan()).toEqual({ actions: [], waiting: [], converged: true });
  });

  it('takes a late answer of a version that is no longer wanted for nothing', () => {
    device.accept(desiredOf(2, { digits: moduleNumber(2) }));
    const before = device.observed;
    device.take({ kind: 'staged', track: 'digits', key: key(3) });
    device.take({ kind: 'proved', track: 'digits', key: key(2) });
    expect(device.observed).toEqual(before);
  });

  it('fetches anew what turned out damaged when it starts', () => {
    device.take({ kind: 'hostExited', clean: false, reason: 'x' });
    device.take({ kind: 'servingLost', module: 'digits' });
    expect(device.observed.tracks['digits']?.state).toBe('wanted');
    device.settle(100);
    expect(device.observed.serving.set).toEqual({ digits: key(1) });
    expect(device.plan().converged).toBe(true);
  });
});

describe('a failure', () => {
  it.each(['golden.mismatch', 'signature.invalid', 'archive.unsafe', 'model.unloadable'] as const)(
    '%s is for good',
    (code) => {
      expect(isPermanent({ code, message: '' })).toBe(true);
    },
  );
  it.each(['score.timeout', 'blob.not-found', 'disk.full', 'process.failed', 'blob.digest-mismatch'] as const)(
    '%s is worth another try',
    (code) => {
      expect(isPermanent({ code, message: '' })).toBe(false);
    },
  );
});
