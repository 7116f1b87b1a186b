/**
 * Pixels to the numbers of a tensor: fitted to the declared size with a triangle filter, as Pillow's BILINEAR
 * does it, so that what a model was trained with is what it gets; then scaled. Pure.
 */
import { AppError } from '#shared/kernel/errors.js';
import type { ImageCodec } from '#shared/protocol/image-codec.js';
import type { Pixels } from './decode-picture.js';

/** A part of the source, in pixels, and where it goes in the target. */
interface Placed {
  readonly from: { readonly x: number; readonly y: number; readonly width: number; readonly height: number };
  readonly to: { readonly x: number; readonly y: number; readonly width: number; readonly height: number };
}

/** @throws AppError `message.malformed` for another size than the declared one, where that is not to be fitted */
export function pictureTensor(pixels: Pixels, codec: ImageCodec): Float32Array | Uint8Array {
  const { width, height, channels, layout, order, datatype } = codec;
  const placed = place(pixels, codec);
  const fitted = fitPlanes(planesOf(pixels, channels), pixels, placed);
  const size = width * height;
  const numbers = datatype === 'UINT8' ? new Uint8Array(size * channels) : new Float32Array(size * channels);
  const outside = (channel: number): number => (datatype === 'UINT8' ? 0 : normalised(0, channel, codec));
  for (let channel = 0; channel < channels; channel++) {
    const plane = fitted[order === 'BGR' ? channels - 1 - channel : channel];
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        const [inX, inY] = [x - placed.to.x, y - placed.to.y];
        const inside = inX >= 0 && inY >= 0 && inX < placed.to.width && inY < placed.to.height;
        const pixel = inside ? (plane?.[inY * placed.to.width + inX] ?? 0) : undefined;
        const at = layout.endsWith('HW') ? channel * size + y * width + x : (y * width + x) * channels + channel;
        if (pixel === undefined) numbers[at] = outside(channel);
        else numbers[at] = datatype === 'UINT8' ? Math.round(pixel) : normalised(pixel, channel, codec);
      }
    }
  }
  return numbers;
}

function normalised(pixel: number, channel: number, { scale, mean, std }: ImageCodec): number {
  return (pixel * scale - (mean[channel] ?? mean[0] ?? 0)) / (std[channel] ?? std[0] ?? 1);
}

function place({ width, height }: Pixels, codec: ImageCodec): Placed {
  const whole = { x: 0, y: 0, width, height };
  const target = { x: 0, y: 0, width: codec.width, height: codec.height };
  if (codec.fit === 'stretch') return { from: whole, to: target };
  if (codec.fit === 'exact') {
    if (width === codec.width && height === codec.height) return { from: whole, to: target };
    throw new AppError(
      'message.malformed',
      `the picture is ${String(width)} x ${String(height)}, and has to be ${String(codec.width)} x ${String(codec.height)}`,
    );
  }
  const ratios = [codec.width / width, codec.height / height] as const;
  if (codec.fit === 'crop') {
    const ratio = Math.max(...ratios);
    return { from: middleOf(whole, codec.width / ratio, codec.height / ratio), to: target };
  }
  const ratio = Math.min(...ratios);
  const [wide, high] = [Math.max(1, Math.round(width * ratio)), Math.max(1, Math.round(height * ratio))];
  const to = {
    x: Math.floor((codec.width - wide) / 2),
    y: Math.floor((codec.height - high) / 2),
    width: wide,
    height: high,
  };
  return { from: whole, to };
}

function middleOf(whole: Placed['from'], width: number, height: number): Placed['from'] {
  return { x: (whole.width - width) / 2, y: (whole.height - height) / 2, width, height };
}

/** What is transparent shows black. */
function planesOf({ width, height, rgba }: Pixels, channels: ImageCodec['channels']): Float32Array[] {
  const planes = Array.from({ length: channels }, () => new Float32Array(width * height));
  for (let pixel = 0; pixel < width * height; pixel++) {
    const at = pixel * 4;
    const share = (rgba[at + 3] ?? 255) / 255;
    const [red, green, blue] = [(rgba[at] ?? 0) * share, (rgba[at + 1] ?? 0) * share, (rgba[at + 2] ?? 0) * share];
    const [first, second, third] = planes;
    if (first !== undefined) first[pixel] = channels === 1 ? 0.299 * red + 0.587 * green + 0.114 * blue : red;
    if (second !== undefined) second[pixel] = green;
    if (third !== undefined) third[pixel] = blue;
  }
  return planes;
}

function fitPlanes(
  planes: readonly Float32Array[],
  { width, height }: Pixels,
  { from, to }: Placed,
): readonly Float32Array[] {
  const isWhole = from.x === 0 && from.y === 0 && from.width === width && from.height === height;
  if (isWhole && to.width === width && to.height === height) return planes;
  const across = weightsOf(from.x, from.width, to.width, width);
  const down = weightsOf(from.y, from.height, to.height, height);
  return planes.map((plane) => {
    const narrow = new Float32Array(to.width * height);
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < to.width; x++)
        narrow[y * to.width + x] = weighed(across[x], (at) => plane[y * width + at] ?? 0);
    }
    const fitted = new Float32Array(to.width * to.height);
    for (let y = 0; y < to.height; y++) {
      for (let x = 0; x < to.width; x++)
        fitted[y * to.width + x] = weighed(down[y], (at) => narrow[at * to.width + x] ?? 0);
    }
    return fitted;
  });
}

interface Weights {
  readonly first: number;
  /** They add up to 1. */
  readonly shares: readonly number[];
}

/** For each place of the target, which places of the source and how much of each. */
function weightsOf(start: number, length: number, targets: number, sources: number): Weights[] {
  const step = length / targets;
  const reach = Math.max(1, step);
  return Array.from({ length: targets }, (_, target) => {
    const center = start + (target + 0.5) * step;
    const first = Math.max(0, Math.trunc(center - reach + 0.5));
    const last = Math.min(sources, Math.trunc(center + reach + 0.5));
    const raw = Array.from({ length: Math.max(1, last - first) }, (_weight, at) =>
      Math.max(0, 1 - Math.abs((first + at + 0.5 - center) / reach)),
    );
    const sum = raw.reduce((total, share) => total + share, 0);
    return { first: Math.min(first, sources - 1), shares: sum === 0 ? [1] : raw.map((share) => share / sum) };
  });
}

function weighed(weights: Weights | undefined, value: (at: number) => number): number {
  if (weights === undefined) return 0;
  let sum = 0;
  for (const [at, share] of weights.shares.entries()) sum += share * value(weights.first + at);
  return sum;
}
