/**
 * Requests joined row by row into one run, and its outputs cut apart again. Only for models whose first
 * dimension is the batch, everywhere (`model-trial.ts` finds that out).
 */
import { allocate, elementCount, type NumericData, type Tensor, type TensorData } from '../codec/tensor.js';

/** Rows of a request: the first dimension that its inputs share; undefined where they do not. */
export function rowsOf(inputs: readonly Tensor[]): number | undefined {
  const rows = inputs[0]?.shape[0];
  return rows !== undefined && inputs.every(({ shape }) => shape[0] === rows) ? rows : undefined;
}

/** Requests with the same key can be joined: same datatypes, same shapes but for the rows. */
export function joinKey(inputs: readonly Tensor[]): string {
  return inputs.map(({ datatype, shape }) => `${datatype}${shape.slice(1).join('x')}`).join(',');
}

/** @param requests inputs of each, in the same order, of one `joinKey` */
export function joinRows(requests: readonly (readonly Tensor[])[]): Tensor[] {
  const [first = []] = requests;
  return first.map(({ name, datatype, shape }, index) => {
    const parts = requests.flatMap((inputs) => inputs[index] ?? []);
    const rows = parts.reduce((sum, part) => sum + (part.shape[0] ?? 0), 0);
    const joined = [rows, ...shape.slice(1)];
    if (datatype === 'BYTES')
      return { name, datatype, shape: joined, data: parts.flatMap((part) => part.data as string[]) };
    const data = allocate(datatype, elementCount(joined));
    let at = 0;
    for (const part of parts) {
      // The datatypes are equal, so both are arrays of numbers or both of bigints.
      (data as Float64Array).set(part.data as Float64Array, at);
      at += part.data.length;
    }
    return { name, datatype, shape: joined, data };
  });
}

/**
 * @param rows of each request
 * @returns the outputs of each request, as views; undefined when an output has not as many rows as went in
 */
export function cutRows(outputs: readonly Tensor[], rows: readonly number[]): Tensor[][] | undefined {
  const total = rows.reduce((sum, count) => sum + count, 0);
  if (outputs.some(({ shape }) => shape[0] !== total)) return undefined;
  let from = 0;
  return rows.map((count) => {
    const start = from;
    from += count;
    return outputs.map((output) => {
      const rowLength = output.data.length / total;
      return {
        ...output,
        shape: [count, ...output.shape.slice(1)],
        data: slice(output.data, start * rowLength, from * rowLength),
      };
    });
  });
}

function slice(data: TensorData, from: number, to: number): TensorData {
  return Array.isArray(data) ? data.slice(from, to) : (data.subarray(from, to) as NumericData);
}
