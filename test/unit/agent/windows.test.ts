import { beforeEach, describe, expect, it } from 'vitest';
import { calendarOf } from '#agent/reconcile/calendar.js';
import { versionKeyOf } from '#agent/reconcile/observed.js';
import { type DesiredModule, updatePolicySchema } from '#shared/protocol/desired.js';
import { desiredOf, moduleNumber, SimulatedDevice } from '#test/support/agent/reconcile-builders.js';

const nightly = { windows: [{ cron: '0 2 * * *', durationSeconds: 3600 }] };
const two = Date.parse('2026-01-01T02:00:00.000Z');
const within = (number: number, update: object = nightly): DesiredModule =>
  moduleNumber(number, updatePolicySchema.parse(update));

describe('a device that serves version 1 and is asked for version 2 within its window', () => {
  let device: SimulatedDevice;
  beforeEach(() => {
    device = new SimulatedDevice(() => 'good');
    device.accept(desiredOf(1, { digits: moduleNumber(1), other: moduleNumber(1) }));
    device.settle(100);
    device.done.length = 0;
  });
  const wallTime = (): number => device.now + device.calendar.offset;
  const served = (): unknown => device.observed.serving.set['digits'];
  /** Acts until nothing is left to do at this moment. */
  const rest = (): void => {
    for (let round = 0; round < 50 && device.plan().actions.length > 0; round++) device.step();
  };
  const kinds = (): string[] => device.done.map(({ action }) => action.kind);

  it('fetches and proves it at once, gives its memory back, and says until when it waits', () => {
    device.accept(desiredOf(2, { digits: within(2), other: moduleNumber(1) }));
    rest();
    expect(kinds()).toEqual(['startFetch', 'prepareSet', 'prove', 'discardCandidate']);
    expect(device.plan()).toEqual({
      actions: [],
      waiting: [{ kind: 'window', module: 'digits', opensAt: two }],
      converged: false,
    });
    expect(served()).toBe(versionKeyOf(moduleNumber(1)));
  });

  it('switches when it opens, without proving anew', () => {
    device.accept(desiredOf(2, { digits: within(2), other: moduleNumber(1) }));
    device.settle(500);
    const switched = device.done.find(({ action }) => action.kind === 'switchSet');
    expect((switched?.at ?? 0) + device.calendar.offset).toBeGreaterThanOrEqual(two);
    expect(wallTime() - two).toBeLessThan(60_000);
    expect(kinds().filter((kind) => kind === 'prove')).toHaveLength(1);
    expect(device.plan().converged).toBe(true);
  });

  it('reads the window in its own time zone', () => {
    device.calendar = { ...device.calendar, timeZone: 'America/New_York' };
    device.accept(desiredOf(2, { digits: within(2), other: moduleNumber(1) }));
    rest();
    expect(device.plan().waiting).toMatchObject([{ kind: 'window', opensAt: two + 5 * 3_600_000 }]);
  });

  it('lets what has no window take over meanwhile', () => {
    device.accept(desiredOf(2, { digits: within(2), other: moduleNumber(3) }));
    rest();
    expect(device.observed.serving.set).toEqual({
      digits: versionKeyOf(moduleNumber(1)),
      other: versionKeyOf(moduleNumber(3)),
    });
    expect(device.plan().waiting).toMatchObject([{ kind: 'window', module: 'digits' }]);
  });

  it('keeps a group together, and what goes beside it', () => {
    const atomic = { ...nightly, atomic: 'pair' };
    device.accept(desiredOf(2, { digits: within(2, atomic), third: within(3, { atomic: 'pair' }) }));
    rest();
    expect(Object.keys(device.observed.serving.set).sort()).toEqual(['digits', 'other']);
    device.now = two - device.calendar.offset;
    rest();
    expect(Object.keys(device.observed.serving.set).sort()).toEqual(['digits', 'third']);
  });

  it('stops waiting when the same version is asked without a window', () => {
    device.accept(desiredOf(2, { digits: within(2), other: moduleNumber(1) }));
    rest();
    device.accept(desiredOf(3, { digits: moduleNumber(2), other: moduleNumber(1) }));
    rest();
    expect(served()).toBe(versionKeyOf(moduleNumber(2)));
    expect(wallTime()).toBeLessThan(two);
  });

  it('counts what the module may put off from the opening on', () => {
    device.accept(desiredOf(2, { digits: within(2, { ...nightly, maxDeferSeconds: 600 }), other: moduleNumber(1) }));
    rest();
    device.now = two - device.calendar.offset;
    device.take({ kind: 'deferred', module: 'digits', until: device.now + 3_600_000, reason: 'a door is open' });
    expect(device.plan().waiting).toMatchObject([
      { kind: 'busy', module: 'digits', deadline: two + 600_000 - device.calendar.offset },
    ]);
  });
});

it('a machine whose clock begins anew goes by what was signed', () => {
  const signed = Date.parse('2026-05-05T00:00:00Z');
  expect(calendarOf(0, signed, 1000, 'UTC').offset).toBe(signed - 1000);
  expect(calendarOf(signed + 5, signed, 1000, 'UTC').offset).toBe(signed + 5 - 1000);
});
