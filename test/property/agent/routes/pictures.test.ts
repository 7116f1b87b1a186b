import { deflateSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodePicture } from '#agent/routes/codec/decode-picture.js';
import { readPictureHead } from '#agent/routes/codec/picture-size.js';
import { pictureTensor } from '#agent/routes/codec/picture-tensor.js';
import { AppError } from '#shared/kernel/errors.js';
import { imageCodecSchema, imageShape } from '#shared/protocol/image-codec.js';
import { jpegOf, pngOf } from '../../../support/pictures.js';

const small = {
  png: pngOf(9, 7, (x, y) => [x * 20, y * 30, 128]),
  jpeg: jpegOf(9, 7, (x, y) => [x * 20, y * 30, 128]),
};
const maxPixels = 10_000;

/** What decoding of any bytes may end with. */
function decodedOrRefused(bytes: Buffer): void {
  try {
    const { width, height, rgba } = decodePicture(bytes, maxPixels);
    expect(width * height).toBeLessThanOrEqual(maxPixels);
    expect(rgba.length).toBe(width * height * 4);
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    expect(['message.malformed', 'message.too-large']).toContain(error.code);
  }
}

describe('pictures', () => {
  it('that are anything at all are decoded or refused', () => {
    const starts = fc.constantFrom(small.png.subarray(0, 16), small.jpeg.subarray(0, 4), Buffer.alloc(0));
    fc.assert(
      fc.property(starts, fc.uint8Array({ maxLength: 400 }), (start, rest) => {
        decodedOrRefused(Buffer.concat([start, rest]));
      }),
    );
  });

  it.each(Object.entries(small))('%s with bytes changed, or cut off, are decoded or refused', (_kind, picture) => {
    const changes = fc.array(fc.tuple(fc.nat(picture.length - 1), fc.integer({ min: 0, max: 255 })), { maxLength: 8 });
    fc.assert(
      fc.property(changes, fc.integer({ min: 0, max: picture.length }), (changed, length) => {
        const bytes = Buffer.from(picture);
        for (const [at, value] of changed) bytes[at] = value;
        decodedOrRefused(bytes.subarray(0, length));
      }),
      { numRuns: 300 },
    );
  });

  it('say how large they are before they are decoded', () => {
    const sizes = fc.tuple(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 1, max: 40 }));
    fc.assert(
      fc.property(sizes, ([width, height]) => {
        const grey = () => [1, 2, 3] as const;
        expect(readPictureHead(pngOf(width, height, grey))).toEqual({ format: 'png', width, height });
        expect(readPictureHead(jpegOf(width, height, grey))).toEqual({ format: 'jpeg', width, height });
      }),
      { numRuns: 20 },
    );
  });

  it('whose head asks for more pixels than are allowed are refused by it', () => {
    const huge = Buffer.from(small.png);
    huge.writeUInt32BE(100_000, 16);
    expect(() => decodePicture(huge, maxPixels)).toThrow(/more than 10000 pixels/);
    const jpeg = Buffer.from(small.jpeg);
    jpeg.writeUInt16BE(60_000, jpeg.indexOf(Buffer.from([0xff, 0xc0])) + 5);
    expect(() => decodePicture(jpeg, maxPixels)).toThrow(/more than 10000 pixels/);
  });

  it('whose data inflates to more than their size needs are refused before that is in memory', () => {
    const bomb = deflateSync(Buffer.alloc(64 * 1024 * 1024));
    const length = Buffer.alloc(4);
    length.writeUInt32BE(bomb.length);
    const at = small.png.indexOf('IDAT') - 4;
    const bytes = Buffer.concat([small.png.subarray(0, at), length, Buffer.from('IDAT'), bomb, Buffer.alloc(4)]);
    const before = process.memoryUsage().arrayBuffers;
    expect(() => decodePicture(bytes, maxPixels)).toThrow(/cannot be decoded/);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(16 * 1024 * 1024);
  });

  it('become tensors of the declared size, whatever size they have', () => {
    const codecs = fc.record({
      width: fc.integer({ min: 1, max: 12 }),
      height: fc.integer({ min: 1, max: 12 }),
      channels: fc.constantFrom(1, 3),
      layout: fc.constantFrom('NCHW', 'NHWC', 'CHW', 'HWC'),
      fit: fc.constantFrom('stretch', 'crop', 'pad'),
      order: fc.constantFrom('RGB', 'BGR'),
    });
    const pixels = fc
      .tuple(fc.integer({ min: 1, max: 12 }), fc.integer({ min: 1, max: 12 }))
      .chain(([width, height]) =>
        fc
          .uint8Array({ minLength: width * height * 4, maxLength: width * height * 4 })
          .map((rgba) => ({ width, height, rgba })),
      );
    fc.assert(
      fc.property(codecs, pixels, (given, picture) => {
        const codec = imageCodecSchema.parse(given);
        const tensor = pictureTensor(picture, codec);
        expect(tensor.length).toBe(imageShape(codec).reduce((product, size) => product * size, 1));
        for (const value of tensor) {
          expect(value).toBeGreaterThanOrEqual(0);
          expect(value).toBeLessThanOrEqual(1.000001);
        }
      }),
    );
  });
});
