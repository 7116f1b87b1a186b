import { describe, expect, it } from 'vitest';
import {
  type TrackEvent,
  trackEvents,
  type TrackState,
  trackStates,
  transition,
} from '#agent/reconcile/track-state.js';

/** Every cell: the state that follows, or - where the pair is refused. Columns in the order of `columns`. */
const columns: readonly TrackEvent[] = [
  'fetchStarted',
  'staged',
  'provingStarted',
  'proved',
  'setAside',
  'probationStarted',
  'activated',
  'failed',
  'rejected',
  'lost',
];
const table = `
wanted    fetching  -       -        -       -       -          -       failed  rejected  -
fetching  -         staged  -        -       wanted  -          -       failed  rejected  -
staged    -         -       proving  -       staged  -          active  failed  rejected  wanted
proving   -         -       -        proved  staged  -          -       failed  rejected  wanted
proved    -         -       -        -       proved  probation  active  failed  rejected  wanted
probation -         -       -        -       staged  -          active  failed  rejected  wanted
active    -         -       -        -       staged  -          -       failed  rejected  wanted
rejected  -         -       -        -       -       -          -       -       -         -
failed    fetching  -       -        -       -       -          -       -       rejected  wanted
`;

const rows = table
  .trim()
  .split('\n')
  .map((line) => line.split(/\s+/));
const cells = rows.flatMap(([state, ...next]) =>
  columns.map((event, index) => [state as TrackState, event, next[index] ?? '?'] as const),
);

describe('the life of a version', () => {
  it('has a row for every state and a column for every event', () => {
    expect(rows.map(([state]) => state)).toEqual([...trackStates]);
    expect([...columns].sort()).toEqual([...trackEvents].sort());
    expect(cells).toHaveLength(trackStates.length * trackEvents.length);
  });

  it.each(cells)('from %s, on %s, leads to %s', (state, event, expected) => {
    const next = transition(state, event);
    if (expected === '-') expect(next).toEqual({ ok: false, error: { kind: 'illegal-transition', state, event } });
    else expect(next).toEqual({ ok: true, value: expected });
  });
});
