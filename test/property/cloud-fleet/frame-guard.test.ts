import fc from 'fast-check';
import { generate } from 'mqtt-packet';
import { describe, expect, it } from 'vitest';
import { FrameGuard } from '#shared/protocol/frame-guard.js';

const publishOf = (length: number): Buffer =>
  generate({ cmd: 'publish', topic: 't', payload: Buffer.alloc(length), qos: 0, retain: false, dup: false });

/** Cuts bytes into pieces at the given places. */
function cut(bytes: Buffer, places: readonly number[]): Buffer[] {
  const sorted = [...new Set(places.map((place) => place % (bytes.length + 1)))].sort((a, b) => a - b);
  return [0, ...sorted].map((from, index) => bytes.subarray(from, sorted[index] ?? bytes.length));
}

describe('FrameGuard', () => {
  it('passes packets within the limit and stops the first one beyond, however the bytes are cut', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 0, max: 70_000 }), { minLength: 1, maxLength: 6 }),
        fc.array(fc.nat(), { maxLength: 30 }),
        fc.integer({ min: 3, max: 70_000 }),
        (lengths, places, limit) => {
          const guard = new FrameGuard();
          const verdicts = cut(Buffer.concat(lengths.map(publishOf)), places).map((piece) =>
            guard.inspect(piece, limit),
          );
          // Topic "t" with its length takes three bytes of the body.
          expect(verdicts.at(-1)).toBe(lengths.some((length) => length + 3 > limit) ? 'too-large' : 'pass');
        },
      ),
      { numRuns: 200 },
    );
  });

  it('decides on any bytes at all without throwing, and never takes back a refusal', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 64 }), { maxLength: 20 }), (pieces) => {
        const guard = new FrameGuard();
        let refused = false;
        for (const piece of pieces) {
          const verdict = guard.inspect(piece, 50);
          if (refused) expect(verdict).not.toBe('pass');
          refused ||= verdict !== 'pass';
        }
      }),
    );
  });
});
