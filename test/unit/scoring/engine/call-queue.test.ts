import { describe, expect, it } from 'vitest';
import type { AppError } from '#shared/kernel/errors.js';
import { CallQueue, type WaitingCall } from '#shared/scoring/engine/call-queue.js';
import type { ModelCall } from '#shared/scoring/engine/model-call.js';

const limits = { maxRows: 10, maxBytes: 1000 };

function waiting(
  more: Partial<ModelCall> & { rows?: number; bytes?: number } = {},
): WaitingCall & { error?: AppError } {
  const { rows = 1, bytes = 10, ...call } = more;
  const made: WaitingCall & { error?: AppError } = {
    call: {
      form: 'infer',
      body: { buffer: new ArrayBuffer(bytes), start: 0, length: bytes },
      jsonLength: undefined,
      abandoned: () => false,
      ...call,
    },
    rows,
    sinceMs: 0,
    resolve: () => undefined,
    reject: (error) => {
      made.error = error;
    },
  };
  return made;
}

describe('calls that wait for a model', () => {
  it('leave in the order in which they came, as many as fit together', () => {
    const queue = new CallQueue(limits);
    const calls = [waiting({ rows: 2 }), waiting({ rows: 2 }), waiting({ rows: 2 })];
    for (const call of calls) queue.add(call);
    expect(queue.take(0, 4, 10)).toEqual(calls.slice(0, 2));
    expect(queue.take(0, 4, 10)).toEqual(calls.slice(2));
    expect(queue.length).toBe(0);
  });

  it('leave alone when they are larger than what fits', () => {
    const queue = new CallQueue(limits);
    const large = waiting({ rows: 9 });
    queue.add(large);
    queue.add(waiting());
    expect(queue.take(0, 4, 10)).toEqual([large]);
  });

  it('of higher priority leave first, and are not overtaken by what would fit beside them', () => {
    const queue = new CallQueue(limits);
    const [usual, second, first, alsoUsual] = [
      waiting(),
      waiting({ priority: 2, rows: 3 }),
      waiting({ priority: 1 }),
      waiting({ priority: 0 }),
    ];
    for (const call of [usual, second, first, alsoUsual]) queue.add(call);
    expect(queue.take(0, 2, 10)).toEqual([first]);
    expect(queue.take(0, 4, 10)).toEqual([second, usual]);
    expect(queue.take(0, 4, 10)).toEqual([alsoUsual]);
  });

  it('are rejected, and never run, once they are past their deadline or nobody waits for them', () => {
    const queue = new CallQueue(limits);
    const late = waiting({ deadlineMs: 5 });
    const left = waiting({ abandoned: () => true });
    const wanted = waiting({ deadlineMs: 50 });
    for (const call of [late, left, wanted]) queue.add(call);
    expect(queue.deadlineMs).toBe(5);
    expect(queue.take(5, 10, 10)).toEqual([wanted]);
    expect(late.error?.code).toBe('score.timeout');
    expect(left.error?.code).toBe('request.aborted');
  });

  it('past their deadline are swept out without anyone taking, and free their room', () => {
    const queue = new CallQueue(limits);
    const late = waiting({ deadlineMs: 5, rows: 6 });
    const patient = waiting({ deadlineMs: 9, rows: 4 });
    queue.add(late);
    queue.add(patient);
    expect(queue.hasRoom(1, 1)).toBe(false);
    queue.sweep(6);
    expect(late.error?.code).toBe('score.timeout');
    expect(queue.deadlineMs).toBe(9);
    expect(queue.hasRoom(6, 1)).toBe(true);
    expect(queue.hasRoom(7, 1)).toBe(false);
  });

  it('have no room beyond the rows or the bytes, but one alone always has', () => {
    const queue = new CallQueue(limits);
    expect(queue.hasRoom(1000, 1_000_000)).toBe(true);
    queue.add(waiting({ rows: 9, bytes: 900 }));
    expect(queue.hasRoom(1, 100)).toBe(true);
    expect(queue.hasRoom(2, 1)).toBe(false);
    expect(queue.hasRoom(1, 101)).toBe(false);
  });
});
