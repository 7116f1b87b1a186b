import { describe, expect, it } from 'vitest';
import { addToSketch, decodeSketch, emptySketch, encodeSketch } from '#shared/protocol/sketch.js';
import type { ModuleMetrics } from '#shared/protocol/stream.js';
import { addNumber, emptySummary, encodeSummary } from '#shared/protocol/summary.js';
import { type BatchContent, joinBatches, maxModulesLength } from '#agent/telemetry/batch-content.js';
import { TemperatureReader, type TemperatureReading } from '#agent/telemetry/temperature.js';
import { SetClock } from '#test/support/fleet-world.js';

const sketch = (...values: readonly number[]) => {
  const made = emptySketch();
  for (const value of values) addToSketch(made, value);
  return encodeSketch(made);
};
const numbers = (...values: readonly number[]) => {
  const made = emptySummary('numbers');
  for (const value of values) addNumber(made, value, undefined);
  return encodeSummary(made);
};
const metrics = (more: Partial<ModuleMetrics> = {}): ModuleMetrics => ({
  digest: `sha256:${'0'.repeat(64)}`,
  version: 1,
  requests: 1,
  errors: {},
  latencyMs: sketch(1),
  ...more,
});
const batch = (modules: Record<string, ModuleMetrics>): BatchContent => ({
  ...{ at: '2026-01-01T00:00:00.000Z', intervalMs: 1, generation: 1 },
  modules,
});

describe('two batches that wait for room', () => {
  it('become one: stages and summaries merge, what only one has stays', () => {
    const stages = { queueMs: sketch(1), computeMs: sketch(2) };
    const tensors = { samples: 1, inputs: { x: numbers(1, -3) }, outputs: {} };
    const later = { samples: 2, inputs: { x: numbers(5) }, outputs: { y: numbers(7) } };
    const joined = joinBatches(
      batch({ m: metrics({ stages, tensors }) }),
      batch({ m: metrics({ stages, tensors: later }) }),
    );
    const { m } = joined?.modules ?? {};
    expect(m?.requests).toBe(2);
    expect(m?.stages && decodeSketch(m.stages.queueMs)?.count).toBe(2);
    expect(m?.tensors).toMatchObject({
      samples: 3,
      inputs: { x: { min: -3, max: 5, sum: 3 } },
      outputs: { y: { max: 7 } },
    });
    expect(joinBatches(batch({ m: metrics({ stages }) }), batch({ m: metrics() }))?.modules['m']?.stages).toEqual(
      stages,
    );
  });

  it('stay two where together they would be too large for a message', () => {
    const errors = Object.fromEntries(
      Array.from({ length: 2000 }, (_, n) => [`code-${'x'.repeat(30)}-${String(n)}`, 1]),
    );
    const large = metrics({ errors });
    expect(JSON.stringify(large).length * 2).toBeGreaterThan(maxModulesLength);
    expect(joinBatches(batch({ a: large }), batch({ b: large }))).toBeUndefined();
    expect(joinBatches(batch({ a: large }), batch({ a: large }))).toBeDefined();
  });
});

describe('the temperature', () => {
  it.each<[string, TemperatureReading, number | undefined]>([
    ['of the hottest sensor', { main: 40, max: 55 }, 55],
    ['of the only one', { main: 40, max: null }, 40],
    ['is absent without a sensor', { main: null, max: null }, undefined],
    ['is absent where a driver says -1', { main: -1, max: -1 }, undefined],
  ])('%s', async (_what, reading, expected) => {
    expect(await new TemperatureReader(new SetClock(), async () => reading).read()).toBe(expected);
  });

  it('is asked for again only after a while where there is none', async () => {
    const clock = new SetClock();
    let asked = 0;
    const reader = new TemperatureReader(clock, async () => {
      asked += 1;
      throw new Error('no sensors');
    });
    await reader.read();
    await reader.read();
    expect(asked).toBe(1);
  });
});
