import { describe, expect, it } from 'vitest';
import { Resampler } from '#modules/voice-activity/resampler.js';

const tone = (hertz: number, rate: number, seconds = 0.5): Float32Array =>
  Float32Array.from({ length: rate * seconds }, (_, at) => Math.sin((2 * Math.PI * hertz * at) / rate));
const level = (samples: Float32Array): number =>
  Math.sqrt(samples.reduce((sum, value) => sum + value ** 2, 0) / samples.length);
const all = (from: number, samples: Float32Array): Float32Array => {
  const resampler = new Resampler(from, 16_000);
  return Float32Array.from([...resampler.push(samples), ...resampler.finish()]);
};
/** Without its ends, where the sound begins and stops. */
const middle = (samples: Float32Array): Float32Array => samples.subarray(500, -500);

describe.each([8000, 11_025, 22_050, 44_100, 48_000, 96_000])('sound of %i samples a second', (rate) => {
  it('keeps its length, and a tone of 1 kHz its place and height', () => {
    const out = all(rate, tone(1000, rate));
    expect(Math.abs(out.length - 8000)).toBeLessThanOrEqual(2);
    const expected = middle(tone(1000, 16_000));
    const apart = middle(out).map((value, at) => value - (expected[at] ?? 0));
    expect(Math.max(...apart.map(Math.abs))).toBeLessThan(0.01);
  });

  it('is the same in chunks of any size', () => {
    const sound = tone(440, rate);
    const resampler = new Resampler(rate, 16_000);
    const pieces: number[] = [];
    for (let at = 0, size = 1; at < sound.length; at += size, size = (size * 7) % 997) {
      pieces.push(...resampler.push(sound.subarray(at, at + size)));
    }
    pieces.push(...resampler.finish());
    const whole = all(rate, sound);
    expect(pieces.length).toBe(whole.length);
    const apart = whole.map((value, at) => value - (pieces[at] ?? Number.NaN));
    expect(Math.max(...apart.map(Math.abs))).toBeLessThan(1e-6);
  });
});

it('a tone that the lower rate cannot hold does not come back as another', () => {
  expect(level(middle(all(48_000, tone(11_000, 48_000))))).toBeLessThan(0.01);
});

it('sound that has the right rate passes as it is', () => {
  const sound = tone(300, 16_000);
  expect(new Resampler(16_000, 16_000).push(sound)).toBe(sound);
});
