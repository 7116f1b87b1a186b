/**
 * Inference requests of the Open Inference Protocol V2: JSON, or JSON followed by binary tensors.
 * Reading has two steps, so that an error names what the model wanted before what is wrong inside the
 * data: `readInferRequest` for structure, `resolveInputs` against the model's signature.
 */
import { readBytesElements, writeBytesElements } from './bytes-elements.js';
import { dataFromJson } from './json-data.js';
import { parseJsonText, partOf, type JsonText } from './json-text.js';
import { invalidInput, show } from './invalid-input.js';
import { ScannedNumbers } from './scan/scan-numbers.js';
import { scanInferRequest } from './scan/scan-request.js';
import {
  bytesOf,
  datatypes,
  elementBytes,
  elementCount,
  formatType,
  isDatatype,
  viewElements,
  type Datatype,
  type ModelSignature,
  type Tensor,
  type TensorData,
  type TensorSignature,
} from './tensor.js';

export interface RequestedInput {
  readonly name: string;
  readonly datatype: Datatype;
  readonly shape: readonly number[];
  /** Parses the data, or throws `score.invalid-input`. */
  readonly data: () => TensorData;
}

export interface RequestedOutput {
  readonly name: string;
  readonly binary: boolean;
  /** How many of the largest values are asked for, as text, instead of all numbers. */
  readonly classes?: number;
}

export interface InferRequest {
  readonly id: string | undefined;
  readonly inputs: readonly RequestedInput[];
  /** Absent: all outputs, in the graph's order. */
  readonly outputs: readonly RequestedOutput[] | undefined;
  readonly binaryOutputs: boolean;
}

/**
 * @param jsonLength value of Inference-Header-Content-Length, where it was sent
 * @throws AppError `score.invalid-input`, and nothing else, whatever the bytes
 */
export function readInferRequest(body: Uint8Array<ArrayBuffer>, jsonLength: number | undefined): InferRequest {
  if (jsonLength === 0) {
    throw invalidInput(
      'a raw binary request (Inference-Header-Content-Length: 0) needs a model that says what the bytes are: send a JSON header',
    );
  }
  if (jsonLength !== undefined && jsonLength > body.length) {
    throw invalidInput(
      `Inference-Header-Content-Length is ${String(jsonLength)}, the whole body has ${String(body.length)} bytes`,
    );
  }
  const text = jsonLength === undefined ? body : body.subarray(0, jsonLength);
  const scanned = scanInferRequest(text);
  return requestFromJson(
    scanned ? { value: scanned, exact: () => scanned } : parseJsonText(text),
    jsonLength === undefined ? undefined : body.subarray(jsonLength),
  );
}

export function requestFromJson(json: JsonText, binary: Uint8Array<ArrayBuffer> | undefined): InferRequest {
  const request = json.value;
  if (!isObject(request)) throw invalidInput(`an inference request is a JSON object, got ${show(request)}`);
  const { id, inputs, outputs } = request;
  if (id !== undefined && typeof id !== 'string') throw invalidInput(`"id" must be a string, got ${show(id)}`);
  if (!Array.isArray(inputs)) throw invalidInput(`"inputs" must be an array of tensors, got ${show(inputs)}`);
  const binaryOutputs = flag(parametersOf(request, 'the request'), 'binary_data_output', 'the request') ?? false;
  const section = { rest: binary };
  const read = inputs.map((input: unknown, index) => readInput(input, index, json, section));
  refuseTwice(
    read.map(({ name }) => name),
    'input',
  );
  if (section.rest && section.rest.length > 0) {
    throw invalidInput(
      `${String(section.rest.length)} bytes follow the last tensor: the binary_data_size of the inputs must add up to all bytes after the JSON`,
    );
  }
  return { id, inputs: read, outputs: readOutputs(outputs, binaryOutputs), binaryOutputs };
}

function readInput(
  input: unknown,
  index: number,
  json: JsonText,
  section: { rest: Uint8Array<ArrayBuffer> | undefined },
): RequestedInput {
  if (!isObject(input)) throw invalidInput(`inputs[${String(index)}] must be an object, got ${show(input)}`);
  const { name, shape, datatype } = input;
  if (typeof name !== 'string') throw invalidInput(`inputs[${String(index)}].name must be a string, got ${show(name)}`);
  if (!isDatatype(datatype)) {
    throw invalidInput(`input "${name}": datatype is ${show(datatype)}, must be one of ${datatypes.join(', ')}`);
  }
  if (!isShape(shape))
    throw invalidInput(`input "${name}": shape must be an array of integers from 0, got ${show(shape)}`);
  const size = parametersOf(input, `input "${name}"`)['binary_data_size'];
  if (size === undefined) {
    if (!('data' in input)) throw invalidInput(`input "${name}" has neither data nor parameters.binary_data_size`);
    const { data } = input;
    if (data instanceof ScannedNumbers) {
      return { name, datatype, shape, data: () => dataFromScan(name, datatype, shape, data) };
    }
    const { exact } = partOf(json, 'inputs', index, 'data');
    return { name, datatype, shape, data: () => dataFromJson(name, datatype, shape, data, exact) };
  }
  if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0) {
    throw invalidInput(`input "${name}": binary_data_size must be an integer from 0, got ${show(size)}`);
  }
  if ('data' in input) throw invalidInput(`input "${name}" has both data and binary_data_size: send one`);
  if (!section.rest) {
    throw invalidInput(
      `input "${name}" has binary_data_size: binary data needs the header Inference-Header-Content-Length`,
    );
  }
  if (size > section.rest.length) {
    throw invalidInput(
      `input "${name}": binary_data_size is ${String(size)}, only ${String(section.rest.length)} bytes are left in the body`,
    );
  }
  const bytes = section.rest.subarray(0, size);
  section.rest = section.rest.subarray(size);
  return { name, datatype, shape, data: () => dataFromBytes(name, datatype, shape, bytes) };
}

/** What does not fit the shape is parsed again as any other JSON: that says what is wrong. */
export function dataFromScan(
  name: string,
  datatype: Datatype,
  shape: readonly number[],
  scanned: ScannedNumbers,
): TensorData {
  if (scanned.fits(shape)) return scanned.data;
  const { value, exact } = parseJsonText(scanned.json);
  return dataFromJson(name, datatype, shape, value, exact);
}

function dataFromBytes(
  name: string,
  datatype: Datatype,
  shape: readonly number[],
  bytes: Uint8Array<ArrayBuffer>,
): TensorData {
  const elements = elementCount(shape);
  if (datatype === 'BYTES') return readBytesElements(name, bytes, elements);
  const expected = elements * elementBytes(datatype);
  if (bytes.length !== expected) {
    throw invalidInput(
      `input "${name}": ${formatType(datatype, shape)} has ${String(expected)} bytes, binary_data_size is ${String(bytes.length)}`,
      { input: name, expected, got: bytes.length },
    );
  }
  const view = viewElements(datatype, bytes, elements);
  if (datatype === 'BOOL') {
    const bad = bytes.findIndex((byte) => byte > 1);
    if (bad >= 0)
      throw invalidInput(`input "${name}": byte ${String(bad)} is ${String(bytes[bad])}; BOOL needs 0 or 1`);
  }
  return view;
}

function readOutputs(outputs: unknown, binaryOutputs: boolean): readonly RequestedOutput[] | undefined {
  if (outputs === undefined) return undefined;
  if (!Array.isArray(outputs)) throw invalidInput(`"outputs" must be an array, got ${show(outputs)}`);
  const read = outputs.map((output: unknown, index) => {
    const name = isObject(output) ? output['name'] : undefined;
    if (!isObject(output) || typeof name !== 'string') {
      throw invalidInput(`outputs[${String(index)}] must be an object with a name, got ${show(output)}`);
    }
    const parameters = parametersOf(output, `output "${name}"`);
    const binary = flag(parameters, 'binary_data', `output "${name}"`) ?? binaryOutputs;
    const classes = parameters['classification'];
    if (classes === undefined) return { name, binary };
    if (!Number.isSafeInteger(classes) || (classes as number) < 1) {
      throw invalidInput(`output "${name}": classification must be an integer from 1, got ${show(classes)}`);
    }
    return { name, binary, classes: classes as number };
  });
  refuseTwice(
    read.map(({ name }) => name),
    'output',
  );
  // As other servers do: an empty list asks for all.
  return read.length === 0 ? undefined : read;
}

/**
 * The tensors to run, in the graph's order.
 *
 * @throws AppError `score.invalid-input`
 */
export function resolveInputs(inputs: readonly RequestedInput[], signature: ModelSignature): Tensor[] {
  const wanted = signature.inputs.map(describe).join(', ');
  for (const { name } of inputs) {
    if (!signature.inputs.some((input) => input.name === name)) {
      throw invalidInput(`the model has no input "${name}"; its inputs are ${wanted}`, { input: name });
    }
  }
  return signature.inputs.map((expected) => {
    const input = inputs.find(({ name }) => name === expected.name);
    if (!input) throw invalidInput(`input "${expected.name}" is missing; the model's inputs are ${wanted}`);
    const { name, datatype, shape } = input;
    if (datatype !== expected.datatype || !fits(shape, expected)) {
      throw invalidInput(
        `input "${name}": the model expects ${formatType(expected.datatype, expected.shape)}, got ${formatType(datatype, shape)}`,
        { input: name, expected: formatType(expected.datatype, expected.shape), got: formatType(datatype, shape) },
      );
    }
    return { name, datatype, shape, data: input.data() };
  });
}

/** @throws AppError `score.invalid-input` for an output that the model does not have */
export function resolveOutputs(request: InferRequest, signature: ModelSignature): readonly RequestedOutput[] {
  if (!request.outputs) return signature.outputs.map(({ name }) => ({ name, binary: request.binaryOutputs }));
  for (const { name } of request.outputs) {
    if (!signature.outputs.some((output) => output.name === name)) {
      const unserved = signature.notServed?.find((output) => output.name === name);
      if (unserved) throw invalidInput(unserved.reason, { output: name });
      throw invalidInput(
        `the model has no output "${name}"; its outputs are ${signature.outputs.map(describe).join(', ')}`,
      );
    }
  }
  return request.outputs;
}

/**
 * A request as a client sends it, all tensors binary.
 *
 * @param options.outputs those that are wanted; without it all
 */
export function encodeInferRequest(
  tensors: readonly Tensor[],
  { id, outputs }: { readonly id?: string; readonly outputs?: readonly string[] | undefined } = {},
): { readonly body: Uint8Array<ArrayBuffer>; readonly jsonLength: number } {
  const blocks = tensors.map(({ datatype, data }) =>
    datatype === 'BYTES' ? writeBytesElements(data as string[]) : bytesOf(data as Exclude<TensorData, string[]>),
  );
  const inputs = tensors.map(({ name, datatype, shape }, index) => ({
    name,
    datatype,
    shape,
    parameters: { binary_data_size: blocks[index]?.length ?? 0 },
  }));
  const wanted = outputs?.map((name) => ({ name, parameters: { binary_data: true } }));
  const head = new TextEncoder().encode(
    JSON.stringify({ id, parameters: { binary_data_output: true }, inputs, outputs: wanted }),
  );
  return { body: concatenate([head, ...blocks]), jsonLength: head.length };
}

export function concatenate(blocks: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(blocks.reduce((size, block) => size + block.length, 0));
  let at = 0;
  for (const block of blocks) {
    out.set(block, at);
    at += block.length;
  }
  return out;
}

function describe({ name, datatype, shape }: TensorSignature): string {
  return `"${name}" ${formatType(datatype, shape)}`;
}

function fits(shape: readonly number[], expected: TensorSignature): boolean {
  return (
    shape.length === expected.shape.length &&
    expected.shape.every((dimension, index) => typeof dimension === 'string' || dimension === shape[index])
  );
}

/** Absent ones are none; clients that write every field send null for what they do not set. */
function parametersOf(value: Record<string, unknown>, where: string): Record<string, unknown> {
  const parameters = value['parameters'] ?? {};
  if (!isObject(parameters)) throw invalidInput(`${where}: parameters must be an object, got ${show(parameters)}`);
  return parameters;
}

function flag(parameters: Record<string, unknown>, name: string, where: string): boolean | undefined {
  const value = parameters[name];
  if (value === undefined || typeof value === 'boolean') return value;
  throw invalidInput(`${where}: parameter ${name} must be true or false, got ${show(value)}`);
}

function refuseTwice(names: readonly string[], what: string): void {
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined) throw invalidInput(`${what} "${twice}" is given twice`);
}

function isShape(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((part) => Number.isSafeInteger(part) && (part as number) >= 0);
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
