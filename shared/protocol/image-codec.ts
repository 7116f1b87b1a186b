/** How a picture becomes a tensor: its size, the order of its numbers, and what is done to each. */
import * as z from 'zod';

const perChannel = z.array(z.number().min(-1e6).max(1e6)).min(1).max(3);

export const imageCodecSchema = z.strictObject({
  width: z.int().min(1).max(4096),
  height: z.int().min(1).max(4096),
  /** 1: grey, 3: colour. */
  channels: z.union([z.literal(1), z.literal(3)]).default(3),
  /** With N, a batch of one. */
  layout: z.enum(['NCHW', 'NHWC', 'CHW', 'HWC']).default('NCHW'),
  order: z.enum(['RGB', 'BGR']).default('RGB'),
  datatype: z.enum(['FP32', 'UINT8']).default('FP32'),
  /** A value is (pixel * scale - mean) / std, pixels from 0 to 255. With UINT8 pixels stay as they are. */
  scale: z
    .number()
    .min(-1e6)
    .max(1e6)
    .default(1 / 255),
  /** One for all channels, or one for each. */
  mean: perChannel.default([0]),
  std: perChannel.refine((values) => values.every((value) => value !== 0), 'must not be 0').default([1]),
  /**
   * How a picture of another size is made to fit: `stretch`ed, the middle of it (`crop`), with black at the
   * sides (`pad`), or not at all (`exact`).
   */
  fit: z.enum(['stretch', 'crop', 'pad', 'exact']).default('stretch'),
  /** The tensor; needed where the model has several inputs. */
  tensor: z.string().min(1).max(256).optional(),
  /** Larger pictures are refused before they are decoded. */
  maxPixels: z.int().min(1).max(100_000_000).default(25_000_000),
});
export type ImageCodec = z.infer<typeof imageCodecSchema>;

/** Of the tensor that it makes. */
export function imageShape({ width, height, channels, layout }: ImageCodec): readonly number[] {
  const sizes = { N: 1, C: channels, H: height, W: width };
  return [...layout].map((axis) => sizes[axis as keyof typeof sizes]);
}
