import { setImmediate as turn } from 'node:timers/promises';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SingleFlight } from '#shared/platform/single-flight.js';

async function microtasks(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await Promise.resolve();
}

/** How one run behaves: how long it takes, whether it wakes its own loop, and whether it fails. */
const run = fc.record({
  wakesFirst: fc.boolean(),
  microtasks: fc.nat({ max: 6 }),
  turns: fc.nat({ max: 2 }),
  wakesLast: fc.boolean(),
  fails: fc.constantFrom('no', 'no', 'at once', 'later'),
});
const step = fc.oneof(
  fc.constant({ kind: 'wake' as const }),
  fc.record({ kind: fc.constant('microtasks' as const), count: fc.nat({ max: 8 }) }),
  fc.constant({ kind: 'turn' as const }),
);

describe('a single flight', () => {
  it('has at most one run under way, and one that began after the last wake, however wakes and runs fall', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { maxLength: 40 }),
        fc.array(run, { maxLength: 6 }),
        async (steps, behaviours) => {
          let underWay = 0;
          let runs = 0;
          let wakes = 0;
          let servedWakes = 0;
          let failures = 0;
          let errors = 0;
          const wake = (): void => {
            wakes += 1;
            flight.wake();
          };
          const flight: SingleFlight = new SingleFlight(
            () => {
              expect(underWay).toBe(0);
              underWay += 1;
              servedWakes = wakes;
              const behaviour = behaviours[runs++];
              if (behaviour?.wakesFirst) wake();
              if (behaviour?.fails === 'at once') {
                underWay -= 1;
                failures += 1;
                throw new Error('at once');
              }
              return (async () => {
                await microtasks(behaviour?.microtasks ?? 0);
                for (let i = 0; i < (behaviour?.turns ?? 0); i++) await turn();
                if (behaviour?.wakesLast) wake();
                underWay -= 1;
                if (behaviour?.fails === 'later') {
                  failures += 1;
                  throw new Error('later');
                }
              })();
            },
            () => {
              errors += 1;
            },
          );
          for (const each of steps) {
            if (each.kind === 'wake') wake();
            else if (each.kind === 'turn') await turn();
            else await microtasks(each.count);
          }
          await flight.idle();
          expect(underWay).toBe(0);
          expect(servedWakes).toBe(wakes);
          expect(runs).toBeLessThanOrEqual(wakes);
          expect(errors).toBe(failures);
        },
      ),
      { numRuns: 500 },
    );
  });

  it('starts nothing after stop, and stop ends with the run that was under way', async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat({ max: 12 }), fc.nat({ max: 4 }), fc.boolean(), async (before, length, wakeAgain) => {
        let running = false;
        let stopped = false;
        const flight = new SingleFlight(
          async () => {
            expect(stopped).toBe(false);
            running = true;
            await microtasks(length);
            running = false;
          },
          (error) => {
            throw error;
          },
        );
        flight.wake();
        await microtasks(before);
        if (wakeAgain) flight.wake();
        const stopping = flight.stop();
        stopped = !running;
        await stopping;
        expect(running).toBe(false);
        stopped = true;
        flight.wake();
        await flight.idle();
      }),
    );
  });

  it('serves many wakes during a run by one further run', async () => {
    let runs = 0;
    let release = (): void => undefined;
    const flight = new SingleFlight(
      async () => {
        runs += 1;
        if (runs === 1) {
          await new Promise<void>((resolve) => {
            release = resolve;
          });
        }
      },
      (error) => {
        throw error;
      },
    );
    flight.wake();
    await turn();
    for (let i = 0; i < 10; i++) flight.wake();
    release();
    await flight.idle();
    expect(runs).toBe(2);
  });
});
