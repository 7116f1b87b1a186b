import { stat } from 'node:fs/promises';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parseMetric } from '#cloud/telemetry/metric.js';
import type { Series, SeriesQuestion } from '#cloud/telemetry/telemetry-port.js';
import { TelemetryRepository } from '#cloud/telemetry/telemetry-repository.js';
import { addCategory, addNumber, emptySummary, encodeSummary } from '#shared/protocol/summary.js';
import { metricsOf, SayingDevice, sketchOf, system } from '#test/support/telemetry-batches.js';
import { temporaryFolder } from '#test/support/temporary-folder.js';

const minute = 60_000;
const hour = 60 * minute;
const day = 24 * hour;
/** The begin of an hour. */
const start = 1_000 * hour;
const nothingGoes = { rawBeforeMs: 0, minutesBeforeMs: 0, beforeMs: 0, maxBytes: Infinity };

const folder = temporaryFolder();
let store: TelemetryRepository;
let opened = 0;
const pathOf = (): string => folder(`telemetry-${String(opened)}.db`);
beforeEach(async () => {
  opened += 1;
  store = await TelemetryRepository.open(pathOf());
});
afterEach(() => store.close());

async function ask(metric: string, more: Partial<SeriesQuestion> = {}): Promise<readonly Series[]> {
  const span = { fromMs: start, toMs: start + hour, stepMs: hour, workspace: 'w' };
  return (await store.series({ ...span, metric: parseMetric(metric), ...more })).series;
}
const value = async (metric: string, more: Partial<SeriesQuestion> = {}): Promise<number | null | undefined> =>
  (await ask(metric, more))[0]?.values[0];
const thin = async (retention: Parameters<TelemetryRepository['thin']>[0]): Promise<void> => {
  for (let step = await store.thin(retention); step.more; step = await store.thin(retention));
};

describe('sums of telemetry', () => {
  it('count each batch once, however summing up, forgetting and restarts fall', async () => {
    const steps = fc.constantFrom('ingest', 'rollUp', 'ask', 'thin', 'reopen');
    await fc.assert(
      fc.asyncProperty(fc.array(steps, { maxLength: 25 }), async (story) => {
        opened += 1;
        await store.close();
        store = await TelemetryRepository.open(pathOf());
        const device = new SayingDevice('d');
        let said = 0;
        for (const [index, step] of story.entries()) {
          const now = start + index * minute;
          if (step === 'ingest') {
            said += 2;
            await store.ingest([device.telemetry(now, { digits: metricsOf([1, 2]) }, system)]);
          } else if (step === 'rollUp') await store.rollUp();
          else if (step === 'ask') await value('requests');
          else if (step === 'thin') await thin({ ...nothingGoes, rawBeforeMs: now + minute });
          else {
            await store.close();
            store = await TelemetryRepository.open(pathOf());
          }
        }
        expect((await value('requests')) ?? 0).toBe(said);
        expect((await value('requests', { stepMs: minute, fromMs: start, toMs: start + hour })) ?? 0).toBeDefined();
        const { modules } = await store.telemetry({ workspace: 'w', device: 'd', fromMs: start });
        expect(modules[0]?.requests ?? 0).toBe(said);
      }),
      { numRuns: 25 },
    );
  });

  it('are told to who counts for Prometheus once, whoever had them summed up', async () => {
    const device = new SayingDevice('d');
    await store.ingest([device.telemetry(start, { digits: metricsOf([1]) })]);
    await value('requests');
    await store.ingest([device.telemetry(start + 1, { digits: metricsOf([1, 1]) })]);
    const { modules, caughtUp } = await store.rollUp();
    expect([modules.reduce((sum, { requests }) => sum + requests, 0), caughtUp]).toEqual([3, true]);
    expect((await store.rollUp()).modules).toEqual([]);
  });
});

describe('a metric over time', () => {
  const stages = { queueMs: sketchOf(1, 1), computeMs: sketchOf(4) };
  const pixels = emptySummary('numbers');
  for (const pixel of [-2, 0, 4, Number.NaN]) addNumber(pixels, pixel, undefined);
  const labels = emptySummary('categories');
  for (const label of ['3', '3', '5', '']) addCategory(labels, label, undefined);
  const tensors = {
    ...{ samples: 1, inputs: { 'a.pixel': encodeSummary(pixels) } },
    outputs: { label: encodeSummary(labels) },
  };

  const routes = {
    readings: {
      ...{ in: 9, out: 6, dropped: { full: 2, undecodable: 1 } },
      values: { 'motor.rpm': { count: 2, sum: -10, min: -20, max: 10, last: 10 } },
    },
  };

  beforeEach(async () => {
    const [one, two] = [new SayingDevice('one'), new SayingDevice('two')];
    await store.ingest([
      one.telemetry(
        start,
        { digits: metricsOf([1, 3], { stages, tensors, routes, errors: { 'score.timeout': 1, internal: 2 } }) },
        { ...system, cpu: 0.2, temperatureCelsius: 40 },
      ),
      one.telemetry(start + 30 * minute, { digits: metricsOf([10], { version: 2, routes }) }, { ...system, cpu: 0.6 }),
      two.telemetry(start + minute, { digits: metricsOf([100]), other: metricsOf([7]) }),
      new SayingDevice('one', 'elsewhere').telemetry(start, { digits: metricsOf([5000]) }),
    ]);
  });

  it.each([
    ['requests', 5],
    ['errors', 3],
    ['errors.score.timeout', 1],
    ['error-rate', 3 / 5],
    ['latency.max', 100],
    ['latency.mean', 121 / 5],
    ['queue.min', 1],
    ['compute.max', 4],
    ['input.a.pixel.min', -2],
    ['input.a.pixel.mean', 2 / 3],
    ['input.a.pixel.nan', 1 / 4],
    ['output.label.share.3', 2 / 4],
    ['output.label.missing', 1 / 4],
    ['output.label.mean', null],
    ['route.readings.in', 18],
    ['route.readings.out', 12],
    ['route.readings.dropped', 6],
    ['route.readings.dropped.full', 4],
    ['route.readings.dropped.rate', 0],
    ['route.readings.value.motor.rpm.mean', -5],
    ['route.readings.value.motor.rpm.min', -20],
    ['route.other.in', null],
    ['cpu', 0.4],
    ['cpu.max', 0.6],
    ['memory', 0.25],
    ['temperature.max', 40],
    ['agent-memory', 100],
  ])('%s is %d', async (metric, expected) => {
    const found = await value(metric);
    if (typeof found === 'number' && expected !== null) expect(found).toBeCloseTo(expected, 6);
    else expect(found).toBe(expected);
  });

  it('is a line for each device, module or version, and one value a step', async () => {
    const names = async (by: 'device' | 'module' | 'version') =>
      (await ask('requests', { by })).map(({ key, values }) => [key, ...values]);
    expect(await names('device')).toEqual([
      ['one', 3],
      ['two', 2],
    ]);
    expect(await names('module')).toEqual([
      ['digits', 4],
      ['other', 1],
    ]);
    expect(await names('version')).toEqual([
      ['digits:1', 3],
      ['digits:2', 1],
      ['other:1', 1],
    ]);
    const [line] = await ask('latency.max', { module: 'digits', device: 'one', stepMs: 10 * minute });
    expect(line?.values).toEqual([3, null, null, 10, null, null]);
    expect(await ask('gpu')).toEqual([]);
  });

  it('is of the workspace that is asked alone', async () => {
    expect(await value('latency.max', { workspace: 'elsewhere' })).toBe(5000);
    await store.eraseWorkspace('elsewhere');
    expect(await ask('latency.max', { workspace: 'elsewhere' })).toEqual([]);
    expect(await value('requests')).toBe(5);
  });
});

describe('what has a name that is no metric', () => {
  it.each([
    ['latency.p95', /did you mean "latency.p/],
    ['request', /did you mean "requests"/],
    ['cpu.p99', /there is no metric "cpu.p99"; one of requests, /],
    ['temperatur.max', /did you mean "temperature.max"/],
    ['output.label', /there is no metric "output.label"/],
    ['input..mean', /there is no metric/],
    ['__proto__', /there is no metric/],
    ['latency.constructor', /there is no metric/],
  ])('%s is refused, and the nearest named', (text, message) => {
    expect(() => parseMetric(text)).toThrow(message);
  });

  it('never fails otherwise, whatever it is', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        try {
          parseMetric(text);
        } catch (error) {
          expect(error).toMatchObject({ code: 'request.invalid' });
        }
      }),
    );
  });
});

describe('retention', () => {
  it('keeps batches, then minutes, then hours, and answers each span from the finest that is whole', async () => {
    const device = new SayingDevice('d');
    const days = Array.from({ length: 4 }, (_, index) => start + index * day);
    for (const at of days) {
      await store.ingest([device.telemetry(at, { digits: metricsOf([1]) }, system)]);
      await store.ingest([device.telemetry(at + 2 * minute, { digits: metricsOf([9]) }, system)]);
    }
    const end = start + 4 * day;
    await thin({
      rawBeforeMs: start + 3 * day,
      minutesBeforeMs: start + 2 * day,
      beforeMs: start + day,
      maxBytes: Infinity,
    });
    const told = async (fromMs: number): Promise<number | undefined> =>
      (await store.telemetry({ workspace: 'w', device: 'd', fromMs })).modules[0]?.requests;
    expect(await told(start + 3 * day)).toBe(2);
    expect(await told(start + 2 * day)).toBe(4);
    // Minutes of the second day are gone, its hours are not; of the first nothing is left.
    expect(await told(start)).toBe(6);
    expect((await store.telemetry({ workspace: 'w', device: 'd', fromMs: start })).batches).toBe(6);
    const hours = await ask('latency.max', { fromMs: start, toMs: end, stepMs: day });
    expect(hours[0]?.values).toEqual([null, 9, 9, 9]);
    const minutes = await ask('requests', {
      fromMs: start + 2 * day,
      toMs: start + 2 * day + 3 * minute,
      stepMs: minute,
    });
    expect(minutes[0]?.values).toEqual([1, null, 1]);
  });

  it('keeps the file below its bound: the finest goes first, and sums stay', async () => {
    const device = new SayingDevice('d');
    const count = 400;
    const errors = Object.fromEntries(Array.from({ length: 40 }, (_, n) => [`some-code-${String(n)}`, 1]));
    for (let n = 0; n < count; n++) {
      await store.ingest([device.telemetry(start + n * 100, { digits: metricsOf([1], { errors }) }, system)]);
    }
    const { size } = await stat(pathOf());
    await thin({ ...nothingGoes, maxBytes: 300 * 1024 });
    expect(size).toBeGreaterThan(300 * 1024);
    expect(await value('requests')).toBe(count);
    // Nothing is too small for a bound of nothing: it ends all the same.
    await thin({ ...nothingGoes, maxBytes: 0 });
    expect(await value('requests')).toBeUndefined();
    await store.ingest([device.telemetry(start, { digits: metricsOf([1]) })]);
    expect(await value('requests')).toBe(1);
  });
});

describe('new events', () => {
  it('come in their order, from where one stopped, whatever was forgotten meanwhile', async () => {
    const device = new SayingDevice('d');
    await store.ingest([device.events(start, 'a', 'b'), device.events(start, 'c')]);
    const first = await store.newEvents({ workspace: 'w', after: 0, limit: 2 });
    expect(first.events.map(({ type }) => type)).toEqual(['a', 'b']);
    const last = first.events.at(-1)?.id ?? 0;
    const rest = await store.newEvents({ workspace: 'w', after: last, limit: 10 });
    expect(rest.events.map(({ type, device: name }) => [type, name])).toEqual([['c', 'd']]);
    await store.prune(start + day);
    await store.ingest([device.events(start + day, 'd')]);
    const later = await store.newEvents({ workspace: 'w', after: rest.newest, limit: 10 });
    expect(later.events.map(({ type }) => type)).toEqual(['d']);
    expect(later.newest).toBeGreaterThan(rest.newest);
  });
});
