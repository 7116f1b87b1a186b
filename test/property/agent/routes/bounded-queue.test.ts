import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BoundedQueue, type Loss } from '#agent/routes/bounded-queue.js';

interface Item {
  readonly id: number;
  readonly bytes: number;
}

const limits = fc.record({
  size: fc.integer({ min: 1, max: 5 }),
  maxBytes: fc.integer({ min: 1, max: 20 }),
  policy: fc.constantFrom('drop-oldest' as const, 'drop-newest' as const, 'block' as const),
});
/** A number offers an item of so many bytes; null takes one. */
const steps = fc.array(fc.option(fc.integer({ min: 0, max: 25 })), { maxLength: 60 });

describe('a bounded queue', () => {
  it('keeps its bounds and its order, and every item is taken, lost or waits, once', async () => {
    await fc.assert(
      fc.asyncProperty(limits, steps, async (given, moves) => {
        const lost: { id: number; why: Loss }[] = [];
        const queue = new BoundedQueue<Item>(given, ({ id }, why) => lost.push({ id, why }));
        const taken: number[] = [];
        const refused: number[] = [];
        for (const [id, bytes] of moves.entries()) {
          if (bytes === null) {
            const item = queue.length === 0 ? undefined : await queue.take(new AbortController().signal);
            if (item !== undefined) taken.push(item.id);
            continue;
          }
          const offered = queue.offer({ id, bytes });
          if (offered === 'full' && given.policy === 'block') refused.push(id);
          expect(queue.length).toBeLessThanOrEqual(given.size);
          expect(queue.bytes).toBeLessThanOrEqual(given.maxBytes);
          expect(offered === 'too-large').toBe(bytes > given.maxBytes);
        }
        const left = queue.drain().map(({ id }) => id);
        expect([...taken].sort((a, b) => a - b)).toEqual(taken);
        expect(left).toEqual([...left].sort((a, b) => a - b));
        const offered = moves.flatMap((bytes, id) => (bytes === null ? [] : [id]));
        const all = [...taken, ...lost.map(({ id }) => id), ...refused, ...left];
        expect(all.sort((a, b) => a - b)).toEqual(offered);
        if (given.policy === 'block') expect(lost.every(({ why }) => why === 'too-large')).toBe(true);
      }),
    );
  });

  it('lets the oldest go, or the newest, as its policy says', () => {
    const keptBy = (policy: 'drop-oldest' | 'drop-newest'): number[] => {
      const queue = new BoundedQueue<Item>({ size: 3, maxBytes: 100, policy }, () => undefined);
      for (let id = 1; id <= 5; id++) queue.offer({ id, bytes: 1 });
      return queue.drain().map(({ id }) => id);
    };
    expect(keptBy('drop-oldest')).toEqual([3, 4, 5]);
    expect(keptBy('drop-newest')).toEqual([1, 2, 3]);
  });

  it('has the source wait until one was taken, with block', async () => {
    const queue = new BoundedQueue<Item>({ size: 1, maxBytes: 100, policy: 'block' }, () => undefined);
    const { signal } = new AbortController();
    await queue.put({ id: 1, bytes: 1 }, signal);
    let through = false;
    const second = queue.put({ id: 2, bytes: 1 }, signal).then(() => {
      through = true;
    });
    await Promise.resolve();
    expect(through).toBe(false);
    expect((await queue.take(signal))?.id).toBe(1);
    await second;
    expect((await queue.take(signal))?.id).toBe(2);
  });

  it('ends every wait when it is told to stop', async () => {
    const stop = new AbortController();
    const lost: Loss[] = [];
    const queue = new BoundedQueue<Item>({ size: 1, maxBytes: 100, policy: 'block' }, (_, why) => lost.push(why));
    queue.offer({ id: 1, bytes: 1 });
    const waiting = queue.put({ id: 2, bytes: 1 }, stop.signal);
    stop.abort();
    expect(await waiting).toBe('full');
    expect(lost).toEqual(['full']);
    queue.drain();
    expect(await queue.take(stop.signal)).toBeUndefined();
  });

  it('keeps what waits when its limits change, down to the new ones', () => {
    const lost: number[] = [];
    const limits = { size: 4, maxBytes: 100, policy: 'drop-newest' as const };
    const queue = new BoundedQueue<Item>(limits, ({ id }) => lost.push(id));
    for (let id = 1; id <= 4; id++) queue.offer({ id, bytes: 1 });
    queue.setLimits({ ...limits, size: 2 });
    expect(lost).toEqual([1, 2]);
    expect(queue.drain().map(({ id }) => id)).toEqual([3, 4]);
  });
});
