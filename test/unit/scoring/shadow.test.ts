import { setImmediate } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { systemClock } from '#shared/kernel/clock.js';
import { AppError } from '#shared/kernel/errors.js';
import type { EncodedResponse } from '#shared/scoring/codec/infer-response.js';
import type { LoadedHostedModule } from '#shared/scoring/host/hosted-module.js';
import { type Ask, Shadow } from '#shared/scoring/traffic/shadow.js';
import { hostTrafficSchema, type ShadowRule } from '#shared/scoring/traffic/traffic-schema.js';

const answer: EncodedResponse = { body: new TextEncoder().encode('{"y":[1]}') };
const signature = { inputs: [], outputs: [] };
const target = { signature } as unknown as LoadedHostedModule;

function shadowOf(rule: Partial<ShadowRule> = {}, ports: { busy?: () => boolean; random?: () => number } = {}): Shadow {
  const parsed = hostTrafficSchema.parse({ m: { weights: { '1': 1 }, shadow: { version: 2, rate: 1, ...rule } } });
  const filled = parsed['m']?.shadow;
  if (!filled) throw new Error('no rule');
  const idle = { busy: () => false, random: () => 0, ...ports };
  return new Shadow('m', filled, { clock: systemClock, target: () => target, ...idle });
}

const turns = async (count = 10): Promise<void> => {
  for (let turn = 0; turn < count; turn++) await setImmediate();
};

/** A live request of so many bytes that is answered at once. */
function live(shadow: Shadow, ask: Ask, bytes = 10): void {
  shadow.sample(bytes, signature, () => ask)?.answered(answer, 1);
}

describe('a shadow', () => {
  it('is asked only after the live answer, and never in its turn', async () => {
    const asked: string[] = [];
    const shadow = shadowOf();
    const copying = shadow.sample(10, signature, () => async () => {
      asked.push('shadow');
      return answer;
    });
    await turns();
    copying?.answered(answer, 1);
    asked.push('live');
    await turns();
    expect(asked).toEqual(['live', 'shadow']);
    expect(shadow.snapshot()).toMatchObject({ compared: 1, agreed: 1 });
  });

  it('that hangs holds one copy, and all beyond its room are dropped without being made', async () => {
    const shadow = shadowOf({ maxWaiting: 3 });
    let copies = 0;
    for (let request = 0; request < 10; request++) {
      const copying = shadow.sample(10, signature, () => {
        copies += 1;
        return () => new Promise(() => undefined);
      });
      copying?.answered(answer, 1);
      await turns();
    }
    expect(copies).toBe(3);
    expect(shadow.snapshot()).toMatchObject({ compared: 0, dropped: 7 });
  });

  it('runs as many at once as it may, and the next when one ends', async () => {
    const shadow = shadowOf({ concurrency: 2 });
    const running: ((response: EncodedResponse) => void)[] = [];
    for (let request = 0; request < 4; request++) live(shadow, () => new Promise((resolve) => running.push(resolve)));
    await turns();
    expect(running).toHaveLength(2);
    running[0]?.(answer);
    await turns();
    expect(running).toHaveLength(3);
  });

  it('keeps within its bytes, requests and live answers together', async () => {
    const shadow = shadowOf({ maxWaitingBytes: 1024 }, { busy: () => true });
    live(shadow, async () => answer, 1000);
    live(shadow, async () => answer, 100);
    // There was room for this request, and is none for the answer it is compared to.
    shadow.sample(10, signature, () => async () => answer)?.answered({ body: new Uint8Array(100) }, 1);
    expect(shadow.snapshot()).toMatchObject({ dropped: 2 });
    shadow.close();
    expect(shadow.snapshot()).toMatchObject({ dropped: 3 });
  });

  it('waits while the host has live work, and goes on by itself when it has none', async () => {
    let busy = true;
    const shadow = shadowOf({}, { busy: () => busy });
    live(shadow, async () => answer);
    await systemClock.sleep(30);
    expect(shadow.snapshot().compared).toBe(0);
    busy = false;
    await expect.poll(() => shadow.snapshot().compared).toBe(1);
  });

  it('counts the faults of either side, and none that the client made', async () => {
    const shadow = shadowOf();
    shadow.sample(1, signature, () => async () => answer)?.failed('score.invalid-input');
    shadow.sample(1, signature, () => async () => answer)?.failed('score.failed');
    live(shadow, async () => {
      throw new AppError('score.failed', 'no');
    });
    live(shadow, async () => {
      throw new AppError('score.overloaded', 'full');
    });
    await turns();
    expect(shadow.snapshot()).toMatchObject({ compared: 0, liveErrors: 1, shadowErrors: 1, dropped: 1 });
  });

  it('takes the share of requests that its rate says', () => {
    const draws = [0.1, 0.3, 0.49, 0.5, 0.9];
    const shadow = shadowOf({ rate: 0.5 }, { random: () => draws.shift() ?? 1 });
    const sampled = Array.from(
      { length: 5 },
      () => shadow.sample(1, signature, () => async () => answer) !== undefined,
    );
    expect(sampled).toEqual([true, true, true, false, false]);
  });

  it('gives each count once', async () => {
    const shadow = shadowOf();
    live(shadow, async () => answer);
    await turns();
    expect(shadow.take().compared).toBe(1);
    expect(shadow.take().compared).toBe(0);
    expect(shadow.snapshot().compared).toBe(1);
  });

  it('survives an answer too deep to walk', async () => {
    const shadow = shadowOf();
    const deep = { body: new TextEncoder().encode('['.repeat(50_000) + ']'.repeat(50_000)) };
    shadow.sample(1, signature, () => async () => deep)?.answered(deep, 1);
    await turns();
    const { compared, uncompared } = shadow.snapshot();
    expect(compared + uncompared).toBe(1);
  });
});
