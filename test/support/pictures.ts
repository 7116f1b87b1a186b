/** Pictures for tests, made by the libraries' own encoders. */
import { encode } from 'jpeg-js';
import { PNG } from 'pngjs';

/** Red, green and blue of the pixel at x, y; from 0 to 255. */
export type Paint = (x: number, y: number) => readonly [number, number, number];

function rgba(width: number, height: number, paint: Paint): Buffer {
  const data = Buffer.alloc(width * height * 4, 255);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) data.set(paint(x, y), (y * width + x) * 4);
  }
  return data;
}

export function pngOf(width: number, height: number, paint: Paint): Buffer {
  const png = new PNG({ width, height });
  png.data = rgba(width, height, paint);
  return PNG.sync.write(png);
}

export function jpegOf(width: number, height: number, paint: Paint, quality = 95): Buffer {
  return encode({ width, height, data: rgba(width, height, paint) }, quality).data;
}

/** Grey values, row by row. */
export function greyPng(width: number, height: number, values: readonly number[]): Buffer {
  return pngOf(width, height, (x, y) => {
    const value = values[y * width + x] ?? 0;
    return [value, value, value];
  });
}
