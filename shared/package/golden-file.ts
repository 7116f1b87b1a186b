/** Golden vectors: requests with the answers that the model gave when its maker checked it. */
import * as z from 'zod';
import { AppError } from '#shared/kernel/errors.js';
import { decodeMessage } from '#shared/protocol/decode.js';

export const maxGoldenBytes = 16 * 1024 * 1024;

/** A tensor of an Open Inference Protocol V2 body, its data in the JSON itself, flat or nested. */
const goldenTensorSchema = z
  .object({
    name: z.string().min(1).max(1024),
    shape: z.array(z.int().min(0)).max(64),
    datatype: z.string().min(1).max(64),
    data: z.array(z.unknown()),
  })
  .superRefine((tensor, context) => {
    const wanted = tensor.shape.reduce((product, dimension) => product * dimension, 1);
    const found = countElements(tensor.data);
    if (found === undefined) {
      context.addIssue({ code: 'custom', path: ['data'], message: 'must hold numbers, strings and booleans only' });
    } else if (found !== wanted) {
      context.addIssue({
        code: 'custom',
        path: ['data'],
        message: `has ${String(found)} elements, the shape asks for ${String(wanted)}`,
      });
    }
  });

const goldenVectorSchema = z.object({
  name: z.string().min(1).max(128),
  request: z.looseObject({ inputs: z.array(goldenTensorSchema).min(1).max(1024) }),
  response: z.looseObject({ outputs: z.array(goldenTensorSchema).min(1).max(1024) }),
});
export type GoldenVector = z.infer<typeof goldenVectorSchema>;

const goldenFileSchema = z
  .array(goldenVectorSchema)
  .min(1)
  .max(1024)
  .refine((vectors) => new Set(vectors.map(({ name }) => name)).size === vectors.length, 'two vectors have one name');

/** @throws AppError `module.invalid` */
export function readGoldenFile(bytes: Uint8Array, where: string): GoldenVector[] {
  const decoded = decodeMessage(goldenFileSchema, bytes, maxGoldenBytes);
  if (decoded.ok) return decoded.value;
  throw new AppError(
    'module.invalid',
    `${where}: not golden vectors, a JSON array of {name, request, response} with V2 bodies: ${decoded.error.message}`,
  );
}

/** undefined when something in it is neither number, string, boolean nor a list of such. */
function countElements(data: readonly unknown[]): number | undefined {
  let count = 0;
  for (const item of data) {
    if (Array.isArray(item)) {
      const inner = countElements(item);
      if (inner === undefined) return undefined;
      count += inner;
    } else if (typeof item === 'number' || typeof item === 'string' || typeof item === 'boolean') count++;
    else return undefined;
  }
  return count;
}
