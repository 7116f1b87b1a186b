import { describe, expect, it } from 'vitest';
import { decodePicture } from '#agent/routes/codec/decode-picture.js';
import { pictureTensor } from '#agent/routes/codec/picture-tensor.js';
import { imageCodecSchema } from '#shared/protocol/image-codec.js';
import { jpegOf, pngOf } from '../../../support/pictures.js';

/** Two by two: red, green, blue, white. */
const corners = pngOf(2, 2, (x, y) => {
  if (y === 0) return x === 0 ? [255, 0, 0] : [0, 255, 0];
  return x === 0 ? [0, 0, 255] : [255, 255, 255];
});

function tensorOf(picture: Buffer, codec: object): number[] {
  return [...pictureTensor(decodePicture(picture, 1_000_000), imageCodecSchema.parse(codec))];
}

const two = { width: 2, height: 2 };

describe('a picture as a tensor', () => {
  it('is channel by channel with NCHW, pixel by pixel with NHWC', () => {
    expect(tensorOf(corners, two)).toEqual([1, 0, 0, 1, 0, 1, 0, 1, 0, 0, 1, 1]);
    expect(tensorOf(corners, { ...two, layout: 'NHWC' })).toEqual([1, 0, 0, 0, 1, 0, 0, 0, 1, 1, 1, 1]);
  });

  it('has its colours the other way round with BGR', () => {
    expect(tensorOf(corners, { ...two, order: 'BGR' })).toEqual([0, 0, 1, 1, 0, 1, 0, 1, 1, 0, 0, 1]);
  });

  it('is normalised channel by channel', () => {
    const codec = { ...two, scale: 1, mean: [5, 10, 15], std: [10, 5, 1], layout: 'HWC' };
    expect(tensorOf(corners, codec).slice(0, 3)).toEqual([25, -2, -15]);
  });

  it('keeps its pixels as they are with UINT8', () => {
    expect(tensorOf(corners, { ...two, datatype: 'UINT8', layout: 'HWC' }).slice(0, 6)).toEqual([255, 0, 0, 0, 255, 0]);
  });

  it('is grey by the weights of the eye with one channel', () => {
    const grey = tensorOf(corners, { ...two, channels: 1, scale: 1 });
    for (const [at, value] of [76.245, 149.685, 29.07, 255].entries()) expect(grey[at]).toBeCloseTo(value, 3);
  });

  it('is averaged when it shrinks, by a triangle over what each place covers', () => {
    // Shares of 0.75, 0.75 and 0.25 of 1.75 at the left: (40 * 0.75 + 80 * 0.25) / 1.75.
    const row = pngOf(4, 1, (x) => [x * 40, x * 40, x * 40]);
    const [left, right] = tensorOf(row, { width: 2, height: 1, channels: 1, scale: 1 });
    expect(left).toBeCloseTo(28.571, 2);
    expect(right).toBeCloseTo(91.429, 2);
  });

  it('is between its neighbours when it grows', () => {
    const row = pngOf(2, 1, (x) => [x * 100, x * 100, x * 100]);
    const grown = tensorOf(row, { width: 4, height: 1, channels: 1, scale: 1 });
    expect(grown.map((value) => Math.round(value))).toEqual([0, 25, 75, 100]);
  });

  it('is cut to its middle, filled up, or refused, as it is to be fitted', () => {
    const wide = pngOf(4, 2, (x) => (x === 1 || x === 2 ? [255, 255, 255] : [0, 0, 0]));
    const grey = { ...two, channels: 1 };
    for (const value of tensorOf(wide, { ...grey, fit: 'crop' })) expect(value).toBeCloseTo(1, 5);
    const padded = tensorOf(
      pngOf(4, 2, () => [255, 255, 255]),
      { width: 4, height: 4, channels: 1, fit: 'pad' },
    );
    expect(padded.map((value) => Math.round(value))).toEqual([0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0]);
    expect(() => tensorOf(wide, { ...grey, fit: 'exact' })).toThrow(/is 4 x 2, and has to be 2 x 2/);
  });

  it('comes out of a JPEG too, as near as that keeps it', () => {
    const grey = jpegOf(8, 8, () => [100, 100, 100]);
    for (const value of tensorOf(grey, { width: 8, height: 8, channels: 1, scale: 1 }))
      expect(value).toBeCloseTo(100, -0.5);
  });
});
