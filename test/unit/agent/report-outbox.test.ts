import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  changeOutbox,
  defaultOutboxPolicy as policy,
  emptyOutbox,
  nextReport,
  type OutboxState,
} from '#agent/link/report-outbox.js';
import { applyPatch, emptyReportedState, type ReportedState } from '#shared/protocol/reported.js';

const state = (generation: number): ReportedState => ({ ...emptyReportedState, generation });

describe('the report outbox', () => {
  const up = changeOutbox(emptyOutbox, { kind: 'link', up: true });
  const sent = (outbox: OutboxState, what: ReportedState, at: number): OutboxState =>
    changeOutbox(outbox, { kind: 'sent', sequence: outbox.sequence + 1, state: what, at });

  it('says nothing without a connection, and the whole with the first', () => {
    expect(nextReport(emptyOutbox, state(1), 0, policy)).toEqual({ kind: 'nothing' });
    expect(nextReport(up, state(1), 0, policy)).toEqual({ kind: 'send', sequence: 1, patch: state(1) });
  });

  it('waits for the acknowledgement, then sends the difference, at most one a second', () => {
    const waiting = sent(up, state(1), 0);
    expect(nextReport(waiting, state(2), 100, policy)).toEqual({ kind: 'wait', until: policy.patienceMs });
    const known = changeOutbox(waiting, { kind: 'acknowledged', upTo: 1 });
    expect(nextReport(known, state(2), 100, policy)).toEqual({ kind: 'wait', until: 1000 });
    expect(nextReport(known, state(2), 1000, policy)).toEqual({
      kind: 'send',
      sequence: 2,
      base: 1,
      patch: { generation: 2 },
    });
    expect(nextReport(known, state(1), 1000, policy)).toEqual({ kind: 'nothing' });
  });

  it('sends the whole when it is asked for, when no acknowledgement comes, and after a connection that ended unacknowledged', () => {
    const waiting = sent(up, state(1), 0);
    const known = changeOutbox(waiting, { kind: 'acknowledged', upTo: 1 });
    const whole = { kind: 'send', sequence: 2, patch: state(1) };
    expect(nextReport(changeOutbox(known, { kind: 'wholeAsked' }), state(1), 5000, policy)).toEqual(whole);
    expect(nextReport(waiting, state(1), policy.patienceMs, policy)).toEqual(whole);
    const again = changeOutbox(changeOutbox(waiting, { kind: 'link', up: false }), { kind: 'link', up: true });
    expect(nextReport(again, state(1), 5000, policy)).toEqual(whole);
  });

  it('says nothing anew after a reconnect when all was acknowledged', () => {
    const known = changeOutbox(sent(up, state(1), 0), { kind: 'acknowledged', upTo: 1 });
    const again = changeOutbox(changeOutbox(known, { kind: 'link', up: false }), { kind: 'link', up: true });
    expect(nextReport(again, state(1), 5000, policy)).toEqual({ kind: 'nothing' });
  });

  it("leaves the control plane with the device's state, whatever is lost in between", () => {
    const step = fc.record({
      generation: fc.nat(3),
      fate: fc.constantFrom('arrives', 'ack-lost', 'lost', 'reconnect', 'asked'),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
        let outbox = up;
        let cloud = emptyReportedState;
        let at = { sequence: 0 };
        let now = 0;
        const go = (current: ReportedState, fate: string): void => {
          now += 20_000;
          if (fate === 'reconnect') {
            outbox = changeOutbox(changeOutbox(outbox, { kind: 'link', up: false }), { kind: 'link', up: true });
          }
          if (fate === 'asked') outbox = changeOutbox(outbox, { kind: 'wholeAsked' });
          const next = nextReport(outbox, current, now, policy);
          if (next.kind !== 'send') return;
          outbox = changeOutbox(outbox, { kind: 'sent', sequence: next.sequence, state: current, at: now });
          if (fate === 'lost') return;
          // What the control plane does: a diff on anything but what it holds is a gap.
          expect(next.base === undefined || next.base === at.sequence).toBe(true);
          cloud = applyPatch(next.base === undefined ? emptyReportedState : cloud, next.patch);
          at = { sequence: next.sequence };
          if (fate !== 'ack-lost') outbox = changeOutbox(outbox, { kind: 'acknowledged', upTo: next.sequence });
        };
        let last = state(0);
        for (const { generation, fate } of steps) {
          last = state(generation);
          go(last, fate);
        }
        go(last, 'arrives');
        expect(cloud).toEqual(last);
      }),
    );
  });
});
