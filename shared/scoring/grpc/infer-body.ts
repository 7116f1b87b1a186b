/**
 * A ModelInferRequest as the bytes of a V2 request: a JSON head, then every tensor. What the worker checks
 * against the model is left to it; here is checked what only gRPC has: contents raw or typed, and which.
 */
import { AppError } from '#shared/kernel/errors.js';
import type { Body } from '../body-reader.js';
import { invalidInput } from '../codec/invalid-input.js';
import { datatypes, elementBytes, elementCount, formatType, isDatatype, type Datatype } from '../codec/tensor.js';
import type { ElementBytes } from './element-bytes.js';
import type { inferInputTensor, inferParameter, inferTensorContents, modelInferRequest } from './messages.js';
import type { MessageOf } from './message-type.js';

export type InferMessage = MessageOf<typeof modelInferRequest>;
type InputMessage = Partial<MessageOf<typeof inferInputTensor>>;
type Contents = Partial<MessageOf<typeof inferTensorContents>>;
export type ParameterTable = ReadonlyMap<string, Partial<MessageOf<typeof inferParameter>>>;

const contentsFields: { readonly [D in Datatype]: keyof Contents | undefined } = {
  BOOL: 'bool_contents',
  UINT8: 'uint_contents',
  UINT16: 'uint_contents',
  UINT32: 'uint_contents',
  UINT64: 'uint64_contents',
  INT8: 'int_contents',
  INT16: 'int_contents',
  INT32: 'int_contents',
  INT64: 'int64_contents',
  FP16: undefined,
  FP32: 'fp32_contents',
  FP64: 'fp64_contents',
  BYTES: 'bytes_contents',
};

/** Ours to say, or about memory that is not shared. */
const ownParameters = new Set(['binary_data', 'binary_data_size', 'binary_data_output']);
const alignment = 8;

export interface InferBody {
  readonly body: Body;
  readonly jsonLength: number;
}

/** @throws AppError `score.invalid-input`, `module.not-yet` (shared memory) */
export function inferBodyOf(request: InferMessage): InferBody {
  const tensors = tensorBytes(request);
  const inputs = request.inputs.map(({ name = '', datatype = '', shape = [], parameters }, index) => {
    const size = tensors[index]?.length ?? 0;
    const own = parametersJson(parameters, `"binary_data_size":${String(size)}`);
    const dims = shape.map((dimension) => String(dimension)).join(',');
    return `{"name":${JSON.stringify(name)},"datatype":${JSON.stringify(datatype)},"shape":[${dims}],"parameters":${own}}`;
  });
  const outputs = request.outputs.map(
    ({ name = '', parameters }) =>
      `{"name":${JSON.stringify(name)},"parameters":${parametersJson(parameters, '"binary_data":true')}}`,
  );
  const id = request.id === '' ? '' : `"id":${JSON.stringify(request.id)},`;
  const parameters = parametersJson(request.parameters, '"binary_data_output":true');
  const wanted = outputs.length === 0 ? '' : `,"outputs":[${outputs.join(',')}]`;
  const json = Buffer.from(`{${id}"parameters":${parameters},"inputs":[${inputs.join(',')}]${wanted}}`);

  // Tensors that follow the JSON then lie on addresses that need no copy; see body-reader.ts.
  const start = (alignment - (json.length % alignment)) % alignment;
  const length = tensors.reduce((sum, tensor) => sum + tensor.length, json.length);
  const bytes = new Uint8Array(start + length);
  bytes.set(json, start);
  let at = start + json.length;
  for (const tensor of tensors) {
    bytes.set(tensor, at);
    at += tensor.length;
  }
  return { body: { buffer: bytes.buffer, start, length }, jsonLength: json.length };
}

function tensorBytes({ inputs, raw_input_contents: raw }: InferMessage): readonly Uint8Array[] {
  if (raw.length === 0) return inputs.map(typedBytes);
  const typed = inputs.find(({ contents }) => contents !== undefined);
  if (typed) {
    throw invalidInput(
      `input "${typed.name ?? ''}" has contents, and the request raw_input_contents: use one of them for all inputs`,
    );
  }
  if (raw.length !== inputs.length) {
    throw invalidInput(
      `raw_input_contents has ${String(raw.length)} tensors, inputs ${String(inputs.length)}: send one for each input, in their order`,
    );
  }
  return raw;
}

function typedBytes({ name = '', datatype = '', shape = [], contents = {} }: InputMessage): Uint8Array {
  if (!isDatatype(datatype)) {
    throw invalidInput(`input "${name}": datatype is "${datatype}", must be one of ${datatypes.join(', ')}`);
  }
  const field = contentsFields[datatype];
  if (field === undefined) {
    throw invalidInput(`input "${name}": ${datatype} has no typed contents; send it in raw_input_contents`);
  }
  const others = (Object.keys(contents) as (keyof Contents)[]).filter(
    (other) => other !== field && contents[other] !== undefined,
  );
  if (others.length > 0) {
    throw invalidInput(`input "${name}": contents of ${datatype} stand in ${field}, got ${others.join(', ')}`);
  }
  const bytes = narrowed(name, datatype, contents[field]);
  if (datatype !== 'BYTES') {
    const width = elementBytes(datatype);
    const got = bytes.length / width;
    if (elementCount(shape) !== got) {
      throw invalidInput(
        `input "${name}": ${formatType(datatype, shape)} has ${String(elementCount(shape))} elements, ${field} has ${String(got)}`,
        { input: name, expected: elementCount(shape), got },
      );
    }
  }
  return bytes;
}

/** Integers of one and two bytes travel as four. */
function narrowed(name: string, datatype: Datatype, contents: ElementBytes | undefined): Uint8Array {
  if (contents === undefined) return new Uint8Array(0);
  const { bytes } = contents;
  const wide = (): Int32Array => new Int32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
  const unsigned = (): Uint32Array => new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
  if (datatype === 'INT8') return checked(name, datatype, wide(), Int8Array.from(wide()));
  if (datatype === 'INT16') return checked(name, datatype, wide(), Int16Array.from(wide()));
  if (datatype === 'UINT8') return checked(name, datatype, unsigned(), Uint8Array.from(unsigned()));
  if (datatype === 'UINT16') return checked(name, datatype, unsigned(), Uint16Array.from(unsigned()));
  return bytes;
}

type Integers = Int8Array | Int16Array | Int32Array | Uint8Array | Uint16Array | Uint32Array;

function checked(name: string, datatype: string, wide: Integers, narrow: Integers): Uint8Array {
  const index = narrow.findIndex((value, at) => value !== wide[at]);
  if (index >= 0) {
    throw invalidInput(
      `input "${name}": element ${String(index)} is ${String(wide[index])}, which ${datatype} cannot hold`,
    );
  }
  return new Uint8Array(narrow.buffer, narrow.byteOffset, narrow.byteLength);
}

/** With our own at the end. Integers of 64 bits keep all their digits. */
function parametersJson(parameters: ParameterTable | undefined, own: string): string {
  let text = '{';
  for (const [key, value] of parameters ?? []) {
    if (key.startsWith('shared_memory_')) {
      throw new AppError('module.not-yet', 'shared memory is not served: send tensors in the request');
    }
    if (ownParameters.has(key) || key.startsWith('triton_')) continue;
    text += `${JSON.stringify(key)}:${parameterJson(key, value)},`;
  }
  return `${text}${own}}`;
}

function parameterJson(key: string, value: Partial<MessageOf<typeof inferParameter>>): string {
  const { bool_param, int64_param, string_param, double_param, uint64_param } = value;
  const chosen = bool_param ?? int64_param ?? string_param ?? double_param ?? uint64_param;
  if (chosen === undefined) throw invalidInput(`parameter "${key}" has no value`);
  if (typeof chosen === 'bigint') return String(chosen);
  if (typeof chosen === 'number' && !Number.isFinite(chosen)) {
    throw invalidInput(`parameter "${key}" is ${String(chosen)}, which is no number`);
  }
  return JSON.stringify(chosen);
}

/**
 * A parameter that is an integer from 0.
 *
 * @throws AppError `score.invalid-input`
 */
export function integerParameter(parameters: ParameterTable, key: string): number | undefined {
  const value = parameters.get(key);
  if (!value) return undefined;
  const integer = value.int64_param ?? value.uint64_param;
  if (integer === undefined || integer < 0n || integer > BigInt(Number.MAX_SAFE_INTEGER)) {
    throw invalidInput(`parameter "${key}" must be an integer from 0`);
  }
  return Number(integer);
}
