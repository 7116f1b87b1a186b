/**
 * Tensor data in JSON, both ways. Numbers are checked, never bent: an integer out of its type's range,
 * a fraction for an integer, a number that a float cannot hold are errors that name the element.
 */
import { AppError } from '#shared/kernel/errors.js';
import { floatListText } from './float-text.js';
import { invalidInput, show } from './invalid-input.js';
import {
  allocate,
  elementCount,
  formatType,
  integerRanges,
  type Datatype,
  type FixedDatatype,
  type Tensor,
  type TensorData,
} from './tensor.js';

/**
 * @param data flat, or nested as the shape says
 * @param exact the same data, integers of 16 and more digits as strings
 * @throws AppError `score.invalid-input`
 */
export function dataFromJson(
  name: string,
  datatype: Datatype,
  shape: readonly number[],
  data: unknown,
  exact: () => unknown,
): TensorData {
  if (datatype === 'FP16') {
    throw invalidInput(`input "${name}": FP16 has no JSON form; send it as binary tensor data`);
  }
  const flat = flatten(name, datatype, shape, data);
  switch (datatype) {
    case 'BYTES':
      return flat.map((value, index) => {
        if (typeof value !== 'string') throw badElement(name, index, value, 'BYTES needs strings');
        return value;
      });
    case 'INT64':
    case 'UINT64':
      return integers64(name, datatype, flat, () => flatten(name, datatype, shape, exact()));
    case 'BOOL':
    case 'FP32':
    case 'FP64':
    case 'UINT8':
    case 'UINT16':
    case 'UINT32':
    case 'INT8':
    case 'INT16':
    case 'INT32':
      return numbers(name, datatype, flat);
  }
}

function numbers(
  name: string,
  datatype: Exclude<FixedDatatype, 'INT64' | 'UINT64' | 'FP16'>,
  flat: readonly unknown[],
): TensorData {
  const out = allocate(datatype, flat.length);
  const range = integerRanges[datatype];
  for (let index = 0; index < flat.length; index++) {
    const value = flat[index];
    if (datatype === 'BOOL') {
      if (typeof value !== 'boolean') throw badElement(name, index, value, 'BOOL needs true or false');
      out[index] = value ? 1 : 0;
      continue;
    }
    if (typeof value !== 'number') throw badElement(name, index, value, `${datatype} needs numbers`);
    if (range && !(Number.isInteger(value) && value >= range[0] && value <= range[1])) {
      throw badElement(
        name,
        index,
        value,
        `${datatype} needs integers from ${String(range[0])} to ${String(range[1])}`,
      );
    }
    out[index] = value;
    if (!range && !Number.isFinite(out[index])) throw badElement(name, index, value, `${datatype} cannot hold it`);
  }
  return out;
}

function integers64(
  name: string,
  datatype: 'INT64' | 'UINT64',
  flat: readonly unknown[],
  exactFlat: () => readonly unknown[],
): TensorData {
  const [low, high] = datatype === 'INT64' ? [-(2n ** 63n), 2n ** 63n - 1n] : [0n, 2n ** 64n - 1n];
  const out = datatype === 'INT64' ? new BigInt64Array(flat.length) : new BigUint64Array(flat.length);
  let exact: readonly unknown[] | undefined;
  for (let index = 0; index < flat.length; index++) {
    const value = flat[index];
    if (typeof value !== 'number' || !Number.isInteger(value)) {
      throw badElement(name, index, value, `${datatype} needs integers`);
    }
    let integer: bigint;
    if (Number.isSafeInteger(value)) {
      integer = BigInt(value);
    } else {
      exact ??= exactFlat();
      const digits = exact[index];
      integer = typeof digits === 'string' ? BigInt(digits) : BigInt(value);
    }
    if (integer < low || integer > high) throw badElement(name, index, integer, `${datatype} cannot hold it`);
    out[index] = integer;
  }
  return out;
}

/** Row-major elements; nesting must be none, or exactly the shape. */
function flatten(name: string, datatype: Datatype, shape: readonly number[], data: unknown): readonly unknown[] {
  const expected = elementCount(shape);
  if (!Array.isArray(data)) {
    throw invalidInput(`input "${name}": data must be an array, got ${show(data)}`);
  }
  const values: readonly unknown[] = data;
  if (!values.some(Array.isArray) && !(shape.length > 1 && expected === 0 && values.length === shape[0])) {
    if (values.length !== expected) {
      throw invalidInput(
        `input "${name}": ${formatType(datatype, shape)} has ${String(expected)} elements, data has ${String(values.length)}`,
        { input: name, expected, got: values.length },
      );
    }
    return values;
  }
  const out: unknown[] = [];
  descend(name, datatype, shape, 0, values, out);
  return out;
}

function descend(
  name: string,
  datatype: Datatype,
  shape: readonly number[],
  depth: number,
  value: unknown,
  out: unknown[],
): void {
  if (depth === shape.length) {
    out.push(value);
    return;
  }
  if (!Array.isArray(value) || value.length !== shape[depth]) {
    const got = Array.isArray(value) ? `an array of ${String(value.length)}` : show(value);
    throw invalidInput(
      `input "${name}": nested data does not fit ${formatType(datatype, shape)}: dimension ${String(depth)} needs arrays of ${String(shape[depth])}, got ${got}`,
      { input: name },
    );
  }
  for (const item of value) descend(name, datatype, shape, depth + 1, item, out);
}

function badElement(name: string, index: number, value: unknown, need: string): AppError {
  return invalidInput(`input "${name}": data[${String(index)}] is ${show(value)}; ${need}`, { input: name, index });
}

/**
 * The data as a flat JSON array. JSON carries neither NaN nor infinities, and null or a string in
 * their place would be taken for something else: such an output is an error, and binary is the remedy.
 *
 * @throws AppError `score.failed` (a value JSON cannot carry), `score.invalid-input` (FP16)
 */
export function dataToJson(tensor: Tensor): string {
  const { data } = tensor;
  switch (tensor.datatype) {
    case 'BYTES':
      return JSON.stringify(data);
    case 'FP16':
      throw invalidInput(
        `output "${tensor.name}": FP16 has no JSON form; ask for it as binary data (parameters: {"binary_data": true})`,
      );
    case 'BOOL':
      return `[${Array.from(data as Uint8Array, (value) => (value === 0 ? 'false' : 'true')).join(',')}]`;
    case 'FP32':
    case 'FP64': {
      for (let index = 0; index < data.length; index++) {
        if (!Number.isFinite(data[index])) throw notInJson(tensor, index);
      }
      if (data instanceof Float32Array) return `[${floatListText(data)}]`;
      return `[${data.join(',')}]`;
    }
    case 'UINT8':
    case 'UINT16':
    case 'UINT32':
    case 'UINT64':
    case 'INT8':
    case 'INT16':
    case 'INT32':
    case 'INT64':
      return `[${data.join(',')}]`;
  }
}

function notInJson(tensor: Tensor, index: number): AppError {
  return new AppError(
    'score.failed',
    `output "${tensor.name}": element ${String(index)} is ${String(tensor.data[index])}, which JSON cannot carry; ask for the output as binary data`,
    { details: { output: tensor.name, index } },
  );
}

/** The data nested as the shape says, for the plain form of answers; a scalar is its one value. */
export function nestJson(tensor: Tensor): string {
  const { shape } = tensor;
  const flat = dataToJson(tensor);
  if (shape.length === 1) return flat;
  if (shape.length === 0) return flat.slice(1, -1);
  const elements =
    tensor.datatype === 'BYTES' ? (tensor.data as string[]).map((text) => JSON.stringify(text)) : undefined;
  const items = elements ?? (tensor.data.length === 0 ? [] : flat.slice(1, -1).split(','));
  let position = 0;
  const level = (depth: number): string => {
    if (depth === shape.length) return items[position++] ?? '';
    return `[${Array.from({ length: shape[depth] ?? 0 }, () => level(depth + 1)).join(',')}]`;
  };
  return level(0);
}
