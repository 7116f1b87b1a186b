/** Tensors of the Open Inference Protocol V2 as JSON has them. */
import * as z from 'zod';
import { AppError } from '#shared/kernel/errors.js';
import { type Datatype, datatypes, elementCount } from '#shared/scoring/codec/tensor.js';

/** INT64 and UINT64 are exact up to 2^53, as in all JSON. */
export type ElementOf<D extends Datatype> = D extends 'BOOL' ? boolean : D extends 'BYTES' ? string : number;

/** `data` is flat, row-major, as many as the sizes of `shape` multiplied. */
export type InferInput = {
  [D in Datatype]: {
    readonly name: string;
    readonly datatype: D;
    readonly shape: readonly number[];
    readonly data: readonly ElementOf<D>[];
  };
}[Datatype];

export const inferAnswerSchema = z.object({
  id: z.string().optional(),
  model_name: z.string(),
  model_version: z.string().optional(),
  outputs: z.array(
    z.object({
      name: z.string(),
      datatype: z.enum(datatypes),
      shape: z.array(z.number().int().min(0)),
      data: z.array(z.unknown()),
    }),
  ),
});
/** As it came; only its form was checked. */
export type InferAnswer = z.infer<typeof inferAnswerSchema>;

/** @throws AppError `score.invalid-input` that names the tensor */
export function checkInput({ name, shape, data }: InferInput): void {
  checkCount(name, shape, data.length);
  const odd = data.findIndex((element) => typeof element === 'number' && !Number.isFinite(element));
  if (odd >= 0) {
    throw new AppError(
      'score.invalid-input',
      `input ${name} has ${String(data[odd])} at ${String(odd)}: JSON has none`,
    );
  }
}

/** @throws AppError `score.invalid-input` */
export function checkCount(name: string, shape: readonly number[], given: number): void {
  const size = elementCount(shape);
  if (given === size) return;
  const sizes = shape.join('x');
  throw new AppError(
    'score.invalid-input',
    `input ${name} has ${String(given)} elements; its shape ${sizes} asks for ${String(size)}`,
  );
}
