import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { systemClock, toInstant } from '#shared/kernel/clock.js';
import { instantSchema } from '#shared/protocol/primitives.js';

describe('sleep', () => {
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  it('lasts its time even beyond what one timer can hold', async () => {
    const days = 40 * 86_400_000;
    let awake = false;
    const slept = systemClock.sleep(days).then(() => {
      awake = true;
    });
    await vi.advanceTimersByTimeAsync(days - 1);
    expect(awake).toBe(false);
    await vi.advanceTimersByTimeAsync(1);
    await slept;
    expect(awake).toBe(true);
  });

  it('ends when its signal aborts, and leaves no timer behind', async () => {
    const controller = new AbortController();
    const slept = systemClock.sleep(1000, controller.signal);
    controller.abort();
    await slept;
    expect(vi.getTimerCount()).toBe(0);
  });

  it('does not begin when its signal has aborted', async () => {
    await systemClock.sleep(1000, AbortSignal.abort());
    expect(vi.getTimerCount()).toBe(0);
  });
});

it('an instant fits the schema of instants', () => {
  expect(instantSchema.parse(toInstant(1_795_424_400_123))).toBe('2026-11-23T09:00:00.123Z');
});
