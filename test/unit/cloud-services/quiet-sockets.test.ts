import { Socket } from 'node:net';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { QuietSockets } from '#cloud/services/front/quiet-sockets.js';

let nowMs = 0;
let quiet: QuietSockets;
const [first, second] = [new Socket(), new Socket()];
beforeEach(() => {
  vi.useFakeTimers();
  quiet = new QuietSockets(5000, () => nowMs);
});
afterEach(() => {
  quiet.end();
  vi.useRealTimers();
});

function pass(ms: number): void {
  nowMs += ms;
  vi.advanceTimersByTime(ms);
}

it('closes who was quiet for as long as may be, and nobody who was heard of meanwhile', () => {
  quiet.add(first);
  quiet.add(second);
  pass(4000);
  quiet.delete(first);
  quiet.add(first);
  pass(2000);
  expect([first.destroyed, second.destroyed]).toEqual([false, true]);
  quiet.delete(first);
  pass(10_000);
  expect(first.destroyed).toBe(false);
});

it('lets go who was quiet the longest where room is needed', () => {
  const [oldest, newer] = [new Socket(), new Socket()];
  quiet.add(oldest);
  quiet.add(newer);
  quiet.closeOldest();
  expect([oldest.destroyed, newer.destroyed]).toEqual([true, false]);
});
