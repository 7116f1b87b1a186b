/** What containers and engines send, cut anywhere, and whatever else they may send. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { LogFrames } from '#cloud/services/containers/log-frames.js';
import { JsonLines } from '#cloud/services/replica/link.js';

const bytes = fc.uint8Array({ maxLength: 40 });
const frame = fc.record({ stream: fc.constantFrom(1, 2), bytes });

function framed({ stream, bytes: content }: { stream: number; bytes: Uint8Array }): Buffer {
  const head = Buffer.from([stream, 0, 0, 0, 0, 0, 0, 0]);
  head.writeUInt32BE(content.length, 4);
  return Buffer.concat([head, content]);
}

/** The same bytes in pieces of these sizes. */
function cut(whole: Buffer, sizes: readonly number[]): Buffer[] {
  const pieces: Buffer[] = [];
  let at = 0;
  for (let index = 0; at < whole.length; index++) {
    const size = sizes[index % sizes.length] ?? 1;
    pieces.push(whole.subarray(at, at + size));
    at += size;
  }
  return pieces;
}

const cuts = fc.array(fc.integer({ min: 1, max: 20 }), { minLength: 1, maxLength: 5 });

describe('the output of a container', () => {
  it('is, of each stream, what the container wrote, wherever the engine cuts it', () => {
    fc.assert(
      fc.property(fc.array(frame, { maxLength: 8 }), cuts, (frames, sizes) => {
        const reader = new LogFrames();
        const read = cut(Buffer.concat(frames.map(framed)), sizes).flatMap((piece) => reader.push(piece));
        for (const [stream, number] of [
          ['stdout', 1],
          ['stderr', 2],
        ] as const) {
          const got = Buffer.concat(read.filter((one) => one.stream === stream).map((one) => one.bytes));
          expect(got).toEqual(Buffer.concat(frames.filter((one) => one.stream === number).map((one) => one.bytes)));
        }
      }),
      { numRuns: 60 },
    );
  });

  it('is refused, and nothing else happens, where it does not come as frames', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 8, maxLength: 200 }), (garbage) => {
        const reader = new LogFrames();
        try {
          const total = reader.push(garbage).reduce((sum, piece) => sum + piece.bytes.length, 0);
          expect(total).toBeLessThanOrEqual(garbage.length - 8);
        } catch (error) {
          expect(error).toMatchObject({ code: 'message.malformed' });
        }
      }),
      { numRuns: 100 },
    );
    expect(() => new LogFrames().push(Buffer.from('plain words'))).toThrow('does not come as frames');
  });
});

describe('lines of a link', () => {
  it('are those that were sent, wherever they are cut, and none is longer than it may be', () => {
    const line = bytes.map((content) => Buffer.from(content.filter((byte) => byte !== 10)));
    fc.assert(
      fc.property(fc.array(line, { maxLength: 6 }), cuts, (sent, sizes) => {
        const whole = Buffer.concat(sent.flatMap((one) => [one, Buffer.from('\n')]));
        const lines = new JsonLines(40);
        expect(
          cut(whole, sizes)
            .flatMap((piece) => lines.push(piece))
            .map((one) => Buffer.from(one)),
        ).toEqual(sent);
        const tight = new JsonLines(10);
        const read = (): unknown => cut(whole, sizes).map((piece) => tight.push(piece));
        if (sent.some(({ length }) => length > 10)) expect(read).toThrow('more than 10 bytes');
        else read();
      }),
      { numRuns: 60 },
    );
  });
});
