import { describe, expect, it } from 'vitest';
import { maxMessageBytes } from '#shared/protocol/decode.js';
import { emptyReportedState, type Reported } from '#shared/protocol/reported.js';
import { judgeReported, maxReportedGeneration, overtakenAt } from '#cloud/fleet/reported-judgement.js';

const stored = { bootId: 3, sequence: 5, state: { ...emptyReportedState, generation: 4 } };
const report = (change: Partial<Reported>): Reported => ({
  schema: 1,
  bootId: 3,
  sequence: 6,
  base: 5,
  at: '2026-01-01T00:00:00.000Z',
  state: { generation: 7 },
  ...change,
});
const whole = (change: Partial<Reported>): Reported => {
  const { base: _base, ...rest } = report(change);
  return rest;
};

describe('judgeReported', () => {
  it('stores a diff on the stored report, and keeps what the diff does not name', () => {
    const judged = judgeReported(report({ state: { converged: true } }), stored);
    expect(judged).toEqual({ kind: 'store', state: { ...stored.state, converged: true } });
  });

  it.each([
    ['on an older report than the stored', report({ base: 4 })],
    ['on a report that never came', report({ sequence: 9, base: 8 })],
    ['on a report of an earlier boot', report({ bootId: 4, sequence: 1, base: 5 })],
  ])('asks for the whole after a diff %s', (_what, offered) => {
    expect(judgeReported(offered, stored).kind).toBe('gap');
  });

  it('takes a whole report whatever it holds, and starts from nothing', () => {
    expect(judgeReported(whole({ sequence: 20, state: { generation: 1 } }), stored)).toEqual({
      kind: 'store',
      state: { ...emptyReportedState, generation: 1 },
    });
    expect(judgeReported(whole({ bootId: 4, sequence: 1 }), stored).kind).toBe('store');
  });

  it.each([5, 4, 1])('knows sequence %i of the same boot again', (sequence) => {
    expect(judgeReported(whole({ sequence }), stored).kind).toBe('duplicate');
  });

  it('passes over what is from before the restart', () => {
    expect(judgeReported(whole({ bootId: 2, sequence: 99 }), stored).kind).toBe('stale');
  });

  it('refuses a generation that would leave none above it', () => {
    expect(judgeReported(report({ state: { generation: maxReportedGeneration + 1 } }), stored).kind).toBe('refuse');
  });
});

describe('judgeReported of diffs without end', () => {
  it('refuses them once the whole would not fit a message', () => {
    let state = emptyReportedState;
    let kind = 'store';
    for (let sequence = 1; sequence <= 2000 && kind === 'store'; sequence++) {
      const previous = { digest: `sha256:${'a'.repeat(64)}`, version: 1 };
      const modules = { [`m${String(sequence)}`]: { previous } };
      const diff = report({ sequence, base: sequence - 1, state: { modules } });
      const judged = judgeReported(diff, { bootId: 3, sequence: sequence - 1, state });
      kind = judged.kind;
      if (judged.kind === 'store') state = judged.state;
    }
    expect(kind).toBe('refuse');
    expect(JSON.stringify(state).length).toBeLessThanOrEqual(maxMessageBytes);
  });
});

describe('overtakenAt', () => {
  const refused = (generation: number, code: string) => ({
    ...emptyReportedState,
    generation: 4,
    refused: { generation, problem: { code, message: '' }, at: '2026-01-01T00:00:00.000Z' },
  });

  it.each([
    ['a device that reflects a newer generation', { ...emptyReportedState, generation: 9 }, 9],
    ['a device that refused our document as older', refused(5, 'desired.older-generation'), 5],
    ['a device that refused our document as a second of its number', refused(5, 'desired.same-generation'), 5],
    ['a device that reflects ours', { ...emptyReportedState, generation: 5 }, undefined],
    ['a device that is on its way to ours', { ...emptyReportedState, generation: 3 }, undefined],
    ['a device that refused an earlier document', refused(4, 'desired.older-generation'), undefined],
    ['a device that refused ours for its signature', refused(5, 'signature.invalid'), undefined],
  ])('for %s', (_what, state, expected) => {
    expect(overtakenAt(state, 5)).toBe(expected);
  });
});
