/**
 * PNG and JPEG to pixels, by libraries. What a picture says of its size is checked first, and that the data of a
 * PNG is no more than its size needs: memory is bounded by what is allowed, not by what is sent.
 */
import { inflateSync } from 'node:zlib';
import { decode as decodeJpeg } from 'jpeg-js';
import { PNG } from 'pngjs';
import { AppError, messageOf } from '#shared/kernel/errors.js';
import { readPictureHead } from './picture-size.js';

/** Eight bits of red, green, blue and alpha for each pixel, row by row. */
export interface Pixels {
  readonly width: number;
  readonly height: number;
  readonly rgba: Uint8Array;
}

/** Of what decoding takes besides the pixels: JPEG has its coefficients. */
const jpegBytesPerPixel = 24;
const leastMemoryMegabytes = 64;

/** @throws AppError `message.malformed`, `message.too-large` */
export function decodePicture(bytes: Buffer, maxPixels: number): Pixels {
  const head = readPictureHead(bytes);
  if (typeof head === 'string') throw malformed(head);
  const pixels = head.width * head.height;
  if (pixels > maxPixels) {
    throw new AppError(
      'message.too-large',
      `a picture of ${String(head.width)} x ${String(head.height)} has more than ${String(maxPixels)} pixels`,
    );
  }
  try {
    const decoded = head.format === 'png' ? pngPixels(bytes, pixels) : jpegPixels(bytes, pixels);
    if (decoded.width !== head.width || decoded.height !== head.height)
      throw malformed('it is not of the size it says');
    return decoded;
  } catch (error) {
    throw error instanceof AppError ? error : malformed(messageOf(error));
  }
}

function pngPixels(bytes: Buffer, pixels: number): Pixels {
  const longest = pngDataBytes(bytes, pixels);
  inflateSync(pngData(bytes), { maxOutputLength: longest });
  const { width, height, data } = PNG.sync.read(bytes);
  return { width, height, rgba: data };
}

/** Its compressed data, of all IDAT chunks. */
function pngData(bytes: Buffer): Buffer {
  const parts: Buffer[] = [];
  for (let at = 8; at + 12 <= bytes.length; at += 12 + bytes.readUInt32BE(at)) {
    const length = bytes.readUInt32BE(at);
    if (bytes.toString('latin1', at + 4, at + 8) === 'IDAT') parts.push(bytes.subarray(at + 8, at + 8 + length));
  }
  return Buffer.concat(parts);
}

/** What it may inflate to: at most 8 bytes a pixel, and a byte for each row, of each of seven passes. */
function pngDataBytes(bytes: Buffer, pixels: number): number {
  return pixels * 8 + bytes.readUInt32BE(20) * 2 + 64;
}

function jpegPixels(bytes: Buffer, pixels: number): Pixels {
  const { width, height, data } = decodeJpeg(bytes, {
    useTArray: true,
    formatAsRGBA: true,
    tolerantDecoding: false,
    maxResolutionInMP: Math.ceil(pixels / 1e6) + 1,
    maxMemoryUsageInMB: leastMemoryMegabytes + Math.ceil((pixels * jpegBytesPerPixel) / 1e6),
  });
  return { width, height, rgba: data };
}

function malformed(what: string): AppError {
  return new AppError('message.malformed', `the picture cannot be decoded: ${what}`);
}
