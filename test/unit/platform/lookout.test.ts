import { afterEach, describe, expect, it } from 'vitest';
import type { Clock } from '#shared/kernel/clock.js';
import { Lookout } from '#shared/platform/lookout.js';

/** Time passes when the test says so. */
class StillClock implements Clock {
  private at = 0;
  private readonly sleepers: { readonly until: number; readonly wake: () => void }[] = [];
  now = (): number => this.at;
  monotonic = (): number => this.at;
  sleep = (ms: number, signal?: AbortSignal): Promise<void> =>
    new Promise((resolve) => {
      this.sleepers.push({ until: this.at + ms, wake: resolve });
      signal?.addEventListener('abort', () => resolve(), { once: true });
    });
  pass(ms: number): void {
    this.at += ms;
    for (const { until, wake } of this.sleepers) if (until <= this.at) wake();
  }
}

const clock = new StillClock();
let looks = 0;
let dueIn: number | undefined;
let failure: Error | undefined;
const errors: unknown[] = [];
const make = (): Lookout =>
  new Lookout({
    ...{ clock, leastMs: 10, mostMs: 1_000, onError: (error) => errors.push(error) },
    look: async () => {
      looks += 1;
      if (failure) throw failure;
      return dueIn === undefined ? undefined : clock.now() + dueIn;
    },
  });
/** @returns looks of that time */
const passing = async (one: Lookout, ms: number): Promise<number> => {
  const before = looks;
  clock.pass(ms);
  await new Promise((resolve) => setImmediate(resolve));
  await one.idle();
  return looks - before;
};
let one: Lookout;
afterEach(async () => {
  await one.stop();
  [dueIn, failure] = [undefined, undefined];
});

describe('a lookout', () => {
  it('looks when it is woken, and else only when something is due', async () => {
    one = make();
    one.wake();
    expect(await passing(one, 0)).toBe(1);
    expect(await passing(one, 5_000)).toBe(0);
    dueIn = 300;
    one.wake();
    expect(await passing(one, 0)).toBe(1);
    expect(await passing(one, 299)).toBe(0);
    expect(await passing(one, 1)).toBe(1);
  });

  it('sleeps neither too short nor too long, and to the last thing that was due alone', async () => {
    one = make();
    dueIn = -50;
    one.wake();
    await passing(one, 0);
    expect(await passing(one, 9)).toBe(0);
    dueIn = 1_000_000;
    expect(await passing(one, 1)).toBe(1);
    expect(await passing(one, 500)).toBe(0);
    one.wake();
    await passing(one, 0);
    expect(await passing(one, 500)).toBe(0);
    expect(await passing(one, 500)).toBe(1);
  });

  it('looks once for all news of a moment', async () => {
    one = make();
    for (let news = 0; news < 5; news++) one.wakeIn(100);
    expect(await passing(one, 99)).toBe(0);
    expect(await passing(one, 1)).toBe(1);
    expect(await passing(one, 100)).toBe(0);
  });

  it('looks again soon after a look that failed', async () => {
    one = make();
    failure = new Error('the disk is full');
    one.wake();
    await passing(one, 0);
    expect(errors).toEqual([failure]);
    failure = undefined;
    expect(await passing(one, 1_000)).toBe(1);
  });

  it('that was stopped looks no more', async () => {
    one = make();
    dueIn = 10;
    one.wake();
    await passing(one, 0);
    one.wakeIn(10);
    await one.stop();
    one.wake();
    expect(await passing(one, 100)).toBe(0);
    expect(one.stopped.aborted).toBe(true);
  });
});
