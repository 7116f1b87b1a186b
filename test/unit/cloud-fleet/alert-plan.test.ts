import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { eventRuleSchema, metricRuleSchema } from '#cloud/alerts/alert-rule.js';
import { type AlertState, decideEvents, decideMetric, matches, type Measured } from '#cloud/alerts/plan.js';

const minute = 60_000;
const metricRule = (more: object) => metricRuleSchema.parse({ name: 'r', metric: 'latency.p99', ...more });
const eventRule = (more: object = {}) => eventRuleSchema.parse({ name: 'r', event: 'machine.alarm', ...more });

/** What a metric rule tells of values, one a minute; a gap is a minute without. */
function tell(more: object, values: readonly (number | null)[], samples = 1): string[] {
  const rule = metricRule(more);
  let state: AlertState | undefined;
  return values.map((value, index) => {
    const measured = value === null ? undefined : { value, samples };
    const { next, change } = decideMetric(rule, state, measured, index * minute, `i${String(index)}`);
    state = next;
    return change === undefined ? (state?.state ?? '-') : `${change.kind} ${change.incident}`;
  });
}

describe('a rule over a metric', () => {
  it('fires above its bound and clears at it', () => {
    expect(tell({ above: 5 }, [5, 6, 7, 5, 4])).toEqual(['-', 'fired i1', 'firing', 'cleared i1', '-']);
    expect(tell({ below: 5 }, [5, 4, 5])).toEqual(['-', 'fired i1', 'cleared i1']);
  });

  it('clears only where it says, so that a value about its bound does not make a flood', () => {
    expect(tell({ above: 5, clear: 3 }, [6, 5, 4, 3])).toEqual(['fired i0', 'firing', 'firing', 'cleared i0']);
  });

  it('fires only once it has held so long without a break', () => {
    expect(tell({ above: 5, for: '2m' }, [6, 6, 4, 6, 6, 6])).toEqual([
      ...['pending', 'pending', '-', 'pending', 'pending'],
      'fired i3',
    ]);
  });

  it('judges no value that rests on too little', () => {
    expect(tell({ above: 5, atLeast: 10 }, [6, 6], 9)).toEqual(['-', '-']);
    expect(tell({ above: 5, atLeast: 10 }, [6], 10)).toEqual(['fired i0']);
  });

  it('stays firing while nothing is told, and is over when that lasts', () => {
    const told = tell({ above: 5 }, [6, ...new Array<null>(17).fill(null)]);
    expect(told.slice(0, 16)).toEqual(['fired i0', ...new Array<string>(15).fill('firing')]);
    expect(told.slice(16)).toEqual(['cleared i0', '-']);
  });

  it('fires and clears in turn, whatever is measured, with one id for both', () => {
    const measured = fc.option(fc.record({ value: fc.option(fc.integer({ min: 0, max: 10 })), samples: fc.nat(3) }));
    const steps = fc.array(fc.tuple(fc.nat(20 * minute), measured));
    fc.assert(
      fc.property(steps, fc.constantFrom('0s', '3m'), (story, held) => {
        const rule = metricRule({ above: 5, clear: 3, for: held });
        let state: AlertState | undefined;
        let now = 0;
        let open: string | undefined;
        for (const [index, [afterMs, found]] of story.entries()) {
          now += afterMs;
          const given: Measured | undefined = found ?? undefined;
          const { next, change } = decideMetric(rule, state, given, now, `i${String(index)}`);
          if (change?.kind === 'fired') {
            expect(open).toBeUndefined();
            open = change.incident;
          } else if (change) {
            expect(change.incident).toBe(open);
            open = undefined;
          }
          expect(next?.state === 'firing').toBe(open !== undefined);
          state = next;
        }
      }),
    );
  });
});

describe('a rule over events', () => {
  it('fires with the count within its span, once, and clears when none came for as long', () => {
    const rule = eventRule({ count: 2, over: '10m' });
    const one = decideEvents(rule, undefined, [0], 0, 'a');
    expect(one).toMatchObject({ next: { state: 'quiet' } });
    expect(one.change).toBeUndefined();
    const two = decideEvents(rule, one.next, [5 * minute], 5 * minute, 'b');
    expect(two.change).toMatchObject({ kind: 'fired', value: 2, incident: 'b' });
    const more = decideEvents(rule, two.next, [6 * minute, 7 * minute], 7 * minute, 'c');
    expect([more.change, more.next?.state]).toEqual([undefined, 'firing']);
    expect(decideEvents(rule, more.next, [], 16 * minute, 'd').change).toBeUndefined();
    expect(decideEvents(rule, more.next, [], 17 * minute, 'd')).toEqual({
      next: undefined,
      change: expect.objectContaining({ kind: 'cleared', incident: 'b' }) as unknown,
    });
  });

  it('does not add up what is further apart', () => {
    const rule = eventRule({ count: 2, over: '1m' });
    const first = decideEvents(rule, undefined, [0], 0, 'a');
    expect(decideEvents(rule, first.next, [2 * minute], 2 * minute, 'b').change).toBeUndefined();
    expect(decideEvents(rule, first.next, [], 2 * minute, 'b').next).toBeUndefined();
  });

  it('tells what came while nobody judged, though it is over', () => {
    const told = decideEvents(eventRule(), undefined, [0], 60 * minute, 'a');
    expect(told.change?.kind).toBe('fired');
    expect(decideEvents(eventRule(), told.next, [], 60 * minute, 'b').change?.kind).toBe('cleared');
  });

  it.each([
    [{}, true],
    [{ event: 'machine.*' }, true],
    [{ event: 'machine' }, false],
    [{ level: 'error' }, false],
    [{ device: 'cam-1', module: 'digits' }, true],
    [{ device: 'cam-2' }, false],
    [{ module: 'other' }, false],
  ])('with %j is of a warning of cam-1: %s', (more, fits) => {
    const seen = { type: 'machine.alarm', level: 'warn', device: 'cam-1', module: 'digits' };
    expect(matches(eventRule(more), seen)).toBe(fits);
  });
});
