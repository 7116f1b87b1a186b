/** One row of inputs of a model's types and shapes, for runs that find out what it is like before it is asked. */
import { allocate, elementCount, type Tensor, type TensorSignature } from '../codec/tensor.js';

/** Inputs larger than this are not made up: a trial must not need more memory than requests do. */
const maxElements = 64 * 1024 * 1024;

export interface MadeUp {
  /** Another one gives other values, the same one the same. */
  readonly seed: number;
  /** Of free dimensions after the first, which is 1; 1 unless told. */
  readonly freeSize?: number;
}

/** @returns undefined for what would be too large */
export function madeUpInputs(inputs: readonly TensorSignature[], { seed, freeSize = 1 }: MadeUp): Tensor[] | undefined {
  const row = inputs.map((input, index) => madeUp(input, seed * 31 + index, freeSize));
  return row.some((tensor) => tensor === undefined) ? undefined : row.filter((tensor) => tensor !== undefined);
}

function madeUp(
  { name, datatype, shape: declared }: TensorSignature,
  seed: number,
  freeSize: number,
): Tensor | undefined {
  const shape = declared.map((size, index) => (typeof size === 'number' ? size : index === 0 ? 1 : freeSize));
  const elements = elementCount(shape);
  if (elements > maxElements) return undefined;
  if (datatype === 'BYTES') return { name, datatype, shape, data: new Array<string>(elements).fill(String(seed % 2)) };
  const data = allocate(datatype, elements);
  const next = sequence(seed);
  for (let index = 0; index < elements; index++) {
    if (datatype === 'FP32' || datatype === 'FP64') data[index] = next();
    // A half float between 0 and 1: 0x3800 is 0.5, the rest its fraction.
    else if (datatype === 'FP16') data[index] = 0x3800 + Math.floor(next() * 0x3ff);
    // Small, so that what is an index stays within its table.
    else if (datatype === 'INT64' || datatype === 'UINT64') data[index] = next() < 0.5 ? 0n : 1n;
    else data[index] = next() < 0.5 ? 0 : 1;
  }
  return { name, datatype, shape, data };
}

/** The same numbers from 0 to 1 for the same seed: Lehmer's generator. */
function sequence(seed: number): () => number {
  let state = (seed * 48271 + 1) % 2147483647;
  return () => {
    state = (state * 48271) % 2147483647;
    return state / 2147483647;
  };
}
