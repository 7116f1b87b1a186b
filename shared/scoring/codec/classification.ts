/**
 * The classification extension: instead of an output's numbers, the largest of them as text,
 * `value:index`, the largest first.
 */
import { invalidInput } from './invalid-input.js';
import { elementCount, type ModelSignature, type NumericData, type Tensor } from './tensor.js';

/**
 * @param rows whether the first dimension counts rows, each of which is classified for itself
 * @throws AppError `score.invalid-input` for a datatype that has no largest
 */
export function classify(tensor: Tensor, classes: number, rows: boolean): Tensor {
  const { name, datatype, shape } = tensor;
  if (datatype === 'BYTES' || datatype === 'BOOL' || datatype === 'FP16') {
    throw invalidInput(`output "${name}" is ${datatype}, which cannot be classified`);
  }
  const data = tensor.data as NumericData;
  const count = rows ? (shape[0] ?? 1) : 1;
  const perRow = elementCount(rows ? shape.slice(1) : shape);
  const floating = datatype === 'FP32' || datatype === 'FP64';
  const kept = Math.min(classes, perRow);
  const strings: string[] = [];
  for (let row = 0; row < count; row++) {
    const values = data.subarray(row * perRow, (row + 1) * perRow);
    for (const index of largest(values, kept)) strings.push(`${text(values[index] ?? 0, floating)}:${String(index)}`);
  }
  return { name, datatype: 'BYTES', shape: rows ? [count, kept] : [kept], data: strings };
}

/** Whether the first dimension of an output counts rows: it is free, and not the only one. */
export function countsRows(signature: ModelSignature, { name }: Tensor): boolean {
  const shape = signature.outputs.find((output) => output.name === name)?.shape ?? [];
  return shape.length > 1 && typeof shape[0] === 'string';
}

/** Of equal values the first; what is no number comes last. */
function largest(values: ArrayLike<number | bigint>, count: number): number[] {
  const indexes = Array.from({ length: values.length }, (_, index) => index);
  const key = (index: number): number | bigint => {
    const value = values[index] ?? 0;
    return Number.isNaN(value) ? -Infinity : value;
  };
  indexes.sort((a, b) => (key(a) < key(b) ? 1 : key(a) > key(b) ? -1 : a - b));
  return indexes.slice(0, count);
}

/** Floats with six decimals, as the protocol's own server writes them. */
function text(value: number | bigint, floating: boolean): string {
  return floating && typeof value === 'number' && Number.isFinite(value) ? value.toFixed(6) : String(value);
}
