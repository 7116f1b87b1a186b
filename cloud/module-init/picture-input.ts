/** Whether a model takes pictures, and how a route would make its tensor of one: a guess from shape and type. */
import type { TensorSignature } from '#shared/scoring/codec/tensor.js';

export interface PictureInput {
  readonly tensor: string;
  readonly width: number;
  readonly height: number;
  readonly channels: 1 | 3;
  readonly layout: 'NCHW' | 'NHWC';
  readonly datatype: 'FP32' | 'UINT8';
}

/** For a side that the graph leaves free. */
const usualSide = 224;
const mostSide = 4096;

/** Undefined where no input, or more than one, looks like pictures. */
export function pictureInput(inputs: readonly TensorSignature[]): PictureInput | undefined {
  const found = inputs.flatMap((input) => asPicture(input) ?? []);
  return found.length === 1 && inputs.length === 1 ? found[0] : undefined;
}

function asPicture({ name, datatype, shape }: TensorSignature): PictureInput | undefined {
  if ((datatype !== 'FP32' && datatype !== 'UINT8') || shape.length !== 4) return undefined;
  const [batch, second, third, fourth] = shape;
  if (typeof batch === 'number' && batch !== 1) return undefined;
  if (isChannels(second)) return sized('NCHW', second, third, fourth);
  return isChannels(fourth) ? sized('NHWC', fourth, second, third) : undefined;

  function sized(
    layout: PictureInput['layout'],
    channels: 1 | 3,
    high: number | string | undefined,
    wide: number | string | undefined,
  ): PictureInput | undefined {
    const [height, width] = [high, wide].map((side) => (typeof side === 'number' ? side : usualSide)) as [
      number,
      number,
    ];
    if (Math.min(height, width) < 1 || Math.max(height, width) > mostSide) return undefined;
    return { tensor: name, width, height, channels, layout, datatype: datatype as PictureInput['datatype'] };
  }
}

function isChannels(size: number | string | undefined): size is 1 | 3 {
  return size === 1 || size === 3;
}
