import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isWav, readPcm, readWav } from '#modules/voice-activity/wav.js';

interface Form {
  readonly coding: number;
  readonly bits: number;
}
const forms: readonly Form[] = [
  { coding: 1, bits: 8 },
  { coding: 1, bits: 16 },
  { coding: 1, bits: 24 },
  { coding: 1, bits: 32 },
  { coding: 3, bits: 32 },
];

function chunk(name: string, content: Buffer): Buffer {
  const head = Buffer.alloc(8);
  head.write(name, 'latin1');
  head.writeUInt32LE(content.length, 4);
  return Buffer.concat([head, content, Buffer.alloc(content.length % 2)]);
}

function writeWav(samples: readonly number[], channels: number, rate: number, { coding, bits }: Form): Buffer {
  const format = Buffer.alloc(16);
  format.writeUInt16LE(coding, 0);
  format.writeUInt16LE(channels, 2);
  format.writeUInt32LE(rate, 4);
  format.writeUInt16LE(bits, 14);
  const bytes = bits / 8;
  const data = Buffer.alloc(samples.length * channels * bytes);
  for (let at = 0; at < samples.length * channels; at++) {
    const value = samples[Math.floor(at / channels)] ?? 0;
    if (coding === 3) data.writeFloatLE(value, at * bytes);
    else if (bits === 8) data.writeUInt8(Math.round(value * 127) + 128, at);
    else data.writeIntLE(Math.round(value * (2 ** (bits - 1) - 1)), at * bytes, bytes);
  }
  const chunks = [chunk('fmt ', format), chunk('LIST', Buffer.from('odd')), chunk('data', data)];
  return Buffer.concat([Buffer.from('RIFF\0\0\0\0WAVE', 'latin1'), ...chunks]);
}

const sound = fc.array(fc.float({ min: -1, max: 1, noNaN: true }), { maxLength: 50 });

describe('a WAV file', () => {
  it('gives the samples that were written, whatever the coding and the channels', () => {
    fc.assert(
      fc.property(sound, fc.integer({ min: 1, max: 16 }), fc.constantFrom(...forms), (samples, channels, form) => {
        const read = readWav(writeWav(samples, channels, 44_100, form));
        expect(read.sampleRate).toBe(44_100);
        expect(read.samples.length).toBe(samples.length);
        const step = form.bits === 8 ? 0.02 : 1e-4;
        for (const [at, value] of samples.entries()) {
          expect(Math.abs((read.samples[at] ?? 9) - value)).toBeLessThan(step);
        }
      }),
    );
  });

  it('that is cut short anywhere is refused with status 400, and nothing else happens', () => {
    const whole = writeWav([0.1, 0.2, 0.3, 0.4], 1, 16_000, { coding: 1, bits: 16 });
    for (let length = 0; length < whole.length; length++) {
      expect(() => readWav(whole.subarray(0, length)), String(length)).toThrow(
        expect.objectContaining({ statusCode: 400 }) as Error,
      );
    }
  });

  it('of any bytes is samples from -1 to 1, or an error with status 400', () => {
    const head = Buffer.from('RIFF\0\0\0\0WAVE', 'latin1');
    const file = writeWav([0.5, -0.5], 2, 16_000, { coding: 3, bits: 32 });
    const flipped = fc.tuple(fc.nat(file.length - 1), fc.nat(255)).map(([at, byte]) => {
      const copy = Buffer.from(file);
      copy[at] = byte;
      return copy;
    });
    const random = fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.concat([head, bytes]));
    fc.assert(
      fc.property(fc.oneof(flipped, random, fc.uint8Array()), (bytes) => {
        try {
          for (const value of readWav(bytes).samples) expect(Math.abs(value)).toBeLessThanOrEqual(1);
        } catch (error) {
          expect(error).toMatchObject({ statusCode: 400 });
        }
      }),
    );
  });

  it('of a recorder that could not know its size is read to its end', () => {
    const file = writeWav([0.1, 0.2], 1, 16_000, { coding: 1, bits: 16 });
    file.writeUInt32LE(0xffffffff, file.length - 8);
    expect(readWav(file).samples.length).toBe(2);
  });
});

it('PCM is two bytes a sample, and never taken for a WAV file', () => {
  expect([...readPcm(Uint8Array.of(0, 0x40, 0, 0xc0), 8000).samples]).toEqual([0.5, -0.5]);
  expect(() => readPcm(Uint8Array.of(1), 8000)).toThrow(/two bytes/);
  expect(() => readPcm(Uint8Array.of(1, 2), 4000)).toThrow(/4000/);
  expect(isWav(Uint8Array.of(0, 0x40, 0, 0xc0))).toBe(false);
});
