import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CallQueue } from '#shared/scoring/engine/call-queue.js';

const arrival = fc.record({
  rows: fc.integer({ min: 1, max: 6 }),
  bytes: fc.integer({ min: 0, max: 40 }),
  priority: fc.integer({ min: 0, max: 3 }),
  deadlineMs: fc.option(fc.integer({ min: 1, max: 30 }), { nil: undefined }),
  takeAfter: fc.boolean(),
});

describe('a queue of calls, whatever comes', () => {
  it('ends every call once, within its limits, the more urgent first and equals in order', () => {
    fc.assert(
      fc.property(fc.array(arrival, { maxLength: 80 }), fc.integer({ min: 1, max: 8 }), (arrivals, maxRows) => {
        const limits = { maxRows: 20, maxBytes: 200 };
        const queue = new CallQueue(limits);
        const ended = new Map<number, number>();
        const end = (id: number): void => void ended.set(id, (ended.get(id) ?? 0) + 1);
        const waitingIds = new Map<number, { rows: number; bytes: number; rank: number }>();
        const ids = new Map<unknown, number>();
        let accepted = 0;
        const take = (nowMs: number): void => {
          const before = new Map(waitingIds);
          const taken = queue.take(nowMs, maxRows, 4).map((waiting) => ids.get(waiting) ?? -1);
          expect(taken.length).toBeLessThanOrEqual(4);
          if (taken.length > 1) {
            expect(taken.reduce((sum, id) => sum + (before.get(id)?.rows ?? 0), 0)).toBeLessThanOrEqual(maxRows);
          }
          const ranks = taken.map((id) => before.get(id)?.rank ?? 0);
          expect(ranks).toEqual([...ranks].sort((a, b) => a - b));
          const equals = taken.filter((id) => before.get(id)?.rank === ranks[0]);
          expect(equals).toEqual([...equals].sort((a, b) => a - b));
          for (const id of taken) {
            end(id);
            waitingIds.delete(id);
          }
        };
        arrivals.forEach(({ rows, bytes, priority, deadlineMs, takeAfter }, id) => {
          if (queue.hasRoom(rows, bytes)) {
            accepted += 1;
            const waiting = {
              call: {
                form: 'infer' as const,
                body: { buffer: new ArrayBuffer(bytes), start: 0, length: bytes },
                jsonLength: undefined,
                abandoned: () => false,
                priority,
                ...(deadlineMs === undefined ? {} : { deadlineMs: id + deadlineMs }),
              },
              rows,
              sinceMs: id,
              resolve: () => undefined,
              reject: () => {
                end(id);
                waitingIds.delete(id);
              },
            };
            ids.set(waiting, id);
            waitingIds.set(id, { rows, bytes, rank: priority === 0 ? Infinity : priority });
            queue.add(waiting);
            const held = [...waitingIds.values()];
            if (held.length > 1) {
              expect(held.reduce((sum, one) => sum + one.rows, 0)).toBeLessThanOrEqual(limits.maxRows);
              expect(held.reduce((sum, one) => sum + one.bytes, 0)).toBeLessThanOrEqual(limits.maxBytes);
            }
          }
          expect(queue.length).toBe(waitingIds.size);
          if (takeAfter) take(id);
          else if (id % 5 === 0) queue.sweep(id);
        });
        while (queue.length > 0) take(arrivals.length);
        expect(ended.size).toBe(accepted);
        expect([...ended.values()].every((times) => times === 1)).toBe(true);
      }),
    );
  });
});
