import { describe, expect, it } from 'vitest';
import { Alarms } from '#modules/machine-anomaly/alarms.js';
import { featuresOf } from '#modules/machine-anomaly/features.js';
import { readReading } from '#modules/machine-anomaly/reading.js';

const judged = (alarms: Alarms, windows: string, machine = 'fan-1'): string[] =>
  [...windows].map((one) => alarms.judge(machine, one === 'x') ?? '-');

describe('the alarm of a machine', () => {
  it('is raised once, after so many anomalies in a row, and cleared once', () => {
    expect(judged(new Alarms(3), 'x.xxxxxx.x...xx')).toEqual([
      '-',
      '-',
      '-',
      '-',
      'raised',
      '-',
      '-',
      '-',
      '-',
      '-',
      '-',
      '-',
      'cleared',
      '-',
      '-',
    ]);
  });

  it('is raised at the first where one is enough', () => {
    expect(judged(new Alarms(1), 'x.x')).toEqual(['raised', 'cleared', 'raised']);
  });

  it('is its own', () => {
    const alarms = new Alarms(2);
    expect([...judged(alarms, 'x', 'a'), ...judged(alarms, 'x', 'b'), ...judged(alarms, 'x', 'a')]).toEqual([
      '-',
      '-',
      'raised',
    ]);
    expect([alarms.isRaised('a'), alarms.isRaised('b')]).toEqual([true, false]);
  });
});

describe('features of a window', () => {
  const sine = Float64Array.from({ length: 1000 }, (_, at) => 5 + 2 * Math.sin((2 * Math.PI * at) / 20));
  it('are those of a sine, whatever the sensor adds to all samples', () => {
    expect(featuresOf(sine, 7)).toEqual({
      rms: expect.closeTo(Math.SQRT2, 6) as number,
      crest: expect.closeTo(Math.SQRT2, 6) as number,
      kurtosis: expect.closeTo(1.5, 6) as number,
      roughness: expect.closeTo(2 * Math.sin(Math.PI / 20), 3) as number,
      rise: 7,
    });
  });
  it('are none where nothing moves', () => {
    expect(featuresOf(new Float64Array(1000).fill(1), 0)).toBeUndefined();
  });
});

describe('a reading', () => {
  const vibration = Array.from({ length: 256 }, (_, at) => at % 7);
  const good = { machine: 'fan-1', load: 'idle', sampleRate: 3200, vibration, temperature: 40, ambient: 20 };
  it('that is right is taken', () => {
    expect(readReading(good)).toMatchObject({ machine: 'fan-1', load: 'idle' });
  });
  it.each([
    [{ machine: 'fan 1' }, /^machine/],
    [{ machine: undefined }, /^machine/],
    [{ load: 'none' }, /^load must be one of idle, half, full/],
    [{ sampleRate: 6400 }, /^sampleRate must be 3200/],
    [{ vibration: vibration.slice(1) }, /^vibration must be 256 to/],
    [{ vibration: vibration.with(9, Number.NaN) }, /^vibration\[9\]/],
    [{ vibration: [...vibration, '1'] }, /^vibration\[256\]/],
    [{ temperature: '40' }, /^temperature/],
    [{ ambient: 5000 }, /^ambient/],
  ])('with %o is refused with status 400 and the field', (wrong, message) => {
    expect(() => readReading({ ...good, ...wrong })).toThrow(
      expect.objectContaining({ statusCode: 400, message: expect.stringMatching(message) as string }) as Error,
    );
  });
  it.each([null, [], 'text', 7])('is an object, and not %o', (input) => {
    expect(() => readReading(input)).toThrow(/a reading is an object/);
  });
});
