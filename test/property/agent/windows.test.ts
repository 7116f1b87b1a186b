import fc from 'fast-check';
import { expect, it } from 'vitest';
import { entry } from '#agent/reconcile/observed.js';
import { type DesiredModule, updatePolicyOf, updatePolicySchema } from '#shared/protocol/desired.js';
import { windowsAt } from '#shared/protocol/maintenance-window.js';
import { desiredOf, moduleNumber, SimulatedDevice } from '#test/support/agent/reconcile-builders.js';

const window = fc.record({
  cron: fc.tuple(fc.nat(59), fc.nat(23)).map(([minute, hour]) => `${String(minute)} ${String(hour)} * * *`),
  durationSeconds: fc.constantFrom(60, 900, 36_000),
});
const module: fc.Arbitrary<DesiredModule> = fc
  .record({
    number: fc.integer({ min: 1, max: 4 }),
    windows: fc.option(fc.array(window, { minLength: 1, maxLength: 2 })),
  })
  .map(({ number, windows }) => moduleNumber(number, updatePolicySchema.parse(windows === null ? {} : { windows })));
const documents = fc.array(fc.dictionary(fc.constantFrom('a', 'b', 'c'), module, { maxKeys: 3 }), {
  minLength: 1,
  maxLength: 4,
});
const zone = fc.constantFrom('UTC', 'Europe/Berlin', 'Asia/Kathmandu');

/** Acts, and lets time pass to the next opening at once. */
function settle(device: SimulatedDevice): void {
  for (let round = 0; round < 500; round++) {
    const { actions, waiting } = device.plan();
    const opens = waiting.flatMap((one) => (one.kind === 'window' ? [one.opensAt - device.calendar.offset] : []));
    if (actions.length === 0 && waiting.length === 0) return;
    if (actions.length === 0 && opens.length === waiting.length) device.now = Math.min(...opens);
    else device.step();
  }
  throw new Error(`it never comes to rest: ${JSON.stringify(device.plan())}`);
}

it('no module changes outside its window, and every device gets there', () => {
  fc.assert(
    fc.property(documents, zone, fc.nat(30), (wanted, timeZone, steps) => {
      const device = new SimulatedDevice(() => 'good');
      device.calendar = { ...device.calendar, timeZone };
      for (const [index, modules] of wanted.entries()) {
        device.accept(desiredOf(index + 1, modules));
        for (let step = 0; step < steps; step++) device.step();
      }
      settle(device);
      expect(device.plan().converged).toBe(true);
      for (const { action, at, before, desired } of device.done) {
        if (action.kind !== 'switchSet' || desired === undefined) continue;
        for (const [name, key] of Object.entries(action.set)) {
          const { windows } = updatePolicyOf(entry(desired.modules, name));
          if (windows === undefined || entry(before.serving.set, name) === key) continue;
          expect(windowsAt(windows, timeZone, at + device.calendar.offset).open).toBe(true);
        }
      }
    }),
    { numRuns: 10 },
  );
});
