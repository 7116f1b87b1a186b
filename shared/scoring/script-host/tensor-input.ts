/** What a script hands to a model, or answers with, as tensors. Scripts are users' code: everything is checked. */
import { isObject } from '../codec/infer-request.js';
import { invalidInput, show } from '../codec/invalid-input.js';
import { dataFromJson } from '../codec/json-data.js';
import {
  allocate,
  elementCount,
  formatType,
  isDatatype,
  type Datatype,
  type ModelSignature,
  type NumericData,
  type Tensor,
  type TensorData,
} from '../codec/tensor.js';

/**
 * Each input is `{datatype, shape, data}`, `data` a typed array or an array, or just nested arrays,
 * whose datatype and shape are then taken from the model's graph and the nesting.
 *
 * @throws AppError `score.invalid-input`
 */
export function inputsToTensors(inputs: unknown, signature: ModelSignature): Tensor[] {
  if (!isObject(inputs)) throw invalidInput(`infer() takes an object of inputs by name, got ${show(inputs)}`);
  return Object.entries(inputs).map(([name, value]) => {
    if (isObject(value) && 'data' in value) return toTensor(name, value);
    if (ArrayBuffer.isView(value)) {
      throw invalidInput(`input "${name}": a typed array has no shape: give {datatype, shape, data}`);
    }
    const expected = signature.inputs.find((input) => input.name === name);
    if (!expected) {
      throw invalidInput(
        `the model has no input "${name}"; it has ${signature.inputs.map((input) => input.name).join(', ')}`,
      );
    }
    return toTensor(name, { datatype: expected.datatype, shape: nestingOf(value), data: value });
  });
}

/** @throws AppError `score.invalid-input` */
export function toTensor(name: string, value: Readonly<Record<string, unknown>>): Tensor {
  const { datatype, shape, data } = value;
  if (!isDatatype(datatype)) throw invalidInput(`tensor "${name}": ${show(datatype)} is not a datatype`);
  if (!Array.isArray(shape) || !shape.every((size) => Number.isSafeInteger(size) && (size as number) >= 0)) {
    throw invalidInput(`tensor "${name}": shape must be an array of integers from 0, got ${show(shape)}`);
  }
  const dimensions = shape as number[];
  return { name, datatype, shape: dimensions, data: toData(name, datatype, dimensions, data) };
}

function toData(name: string, datatype: Datatype, shape: readonly number[], data: unknown): TensorData {
  if (datatype !== 'BYTES' && ArrayBuffer.isView(data)) return checkTyped(name, datatype, shape, data as NumericData);
  if (datatype === 'INT64' || datatype === 'UINT64') {
    if (Array.isArray(data) && data.every((value) => typeof value === 'bigint')) {
      return checkTyped(name, datatype, shape, bigIntegers(datatype, data));
    }
  }
  const values: unknown = Array.isArray(data) ? data : [data];
  return dataFromJson(name, datatype, shape, values, () => values);
}

function bigIntegers(datatype: 'INT64' | 'UINT64', data: readonly bigint[]): NumericData {
  return datatype === 'INT64' ? BigInt64Array.from(data) : BigUint64Array.from(data);
}

function checkTyped(
  name: string,
  datatype: Exclude<Datatype, 'BYTES'>,
  shape: readonly number[],
  data: NumericData,
): NumericData {
  const wanted = allocate(datatype, 0).constructor;
  if (data.constructor !== wanted) {
    throw invalidInput(`tensor "${name}": ${datatype} is a ${wanted.name}, got a ${data.constructor.name}`);
  }
  if (data.length !== elementCount(shape)) {
    throw invalidInput(
      `tensor "${name}": ${formatType(datatype, shape)} has ${String(elementCount(shape))} elements, data has ${String(data.length)}`,
    );
  }
  return data;
}

function nestingOf(value: unknown): number[] {
  const shape: number[] = [];
  for (let level = value; Array.isArray(level); level = level[0] as unknown) shape.push(level.length);
  return shape;
}
