import { expect, it } from 'vitest';
import type { Noted } from '#test/bench/fleet/live/device-logs.js';
import { losses, waveTimes } from '#test/bench/fleet/live/judge.js';
import type { RolloutRow } from '#test/bench/fleet/live/rows.js';

const row = (device: string, more: Partial<RolloutRow> = {}): RolloutRow => ({
  ...{ device, wave: 0, standing: 'succeeded', attempts: 1, assignedAt: 1_000, endedAt: 3_000 },
  ...more,
});
const accepted = (device: string, at = 1_500): Noted => ({ device, at, did: 'accepted', release: 'vision:2' });
const once = new Map([
  ['a', 1],
  ['b', 1],
]);

it('a fleet in which each was asked once, accepted once and succeeded has lost nothing', () => {
  expect(losses('vision:2', [row('a'), row('b')], once, [accepted('a'), accepted('b')])).toEqual({
    ...{ rows: 2, acceptedOtherwise: [], askedOtherwise: [], endedOtherwise: [] },
  });
});

it('names who was asked twice, who accepted never or twice, and who ended otherwise', () => {
  const rows = [row('a'), row('b', { standing: 'failed' }), row('c', { attempts: 2 })];
  const asked = new Map([...once, ['c', 2]]);
  expect(losses('vision:2', rows, asked, [accepted('a'), accepted('a', 1_600), accepted('b')])).toEqual({
    ...{ rows: 3, acceptedOtherwise: ['a', 'c'], askedOtherwise: ['c'], endedOtherwise: ['b', 'c'] },
  });
});

it('a device that no row speaks of, and that accepted, was lost by the rows', () => {
  const { askedOtherwise } = losses('vision:2', [row('a')], new Map([['a', 1]]), [accepted('a'), accepted('z')]);
  expect(askedOtherwise).toEqual(['z']);
});

it('a wave takes from its first commit to the last first arrival of its own devices', () => {
  const rows = [row('a'), row('b', { assignedAt: 1_200, endedAt: 4_000 }), row('c', { wave: 1, assignedAt: 9_000 })];
  const arrived = (device: string, at: number): Noted => ({ device, at, did: 'received' });
  const noted = [arrived('a', 900), arrived('a', 1_400), arrived('b', 1_700), arrived('b', 8_000), arrived('c', 9_100)];
  const [first] = waveTimes(rows, noted, 1_000);
  expect(first).toEqual({ wave: 0, devices: 2, arrived: 0.7, done: 3, each: { p99: 0.5, most: 0.5 } });
});
