/**
 * The values of an encoded answer, as far as they are compared. What is read is bounded, since it is read
 * on the thread that speaks HTTP, in idle time: a JSON part beyond its limit is not read at all, of a
 * binary tensor only the first elements. Integers beyond 2^53 in JSON are compared as doubles.
 */
import { isObject } from '../codec/infer-request.js';
import type { EncodedResponse } from '../codec/infer-response.js';
import { elementBytes, isDatatype, type ModelSignature, viewElements } from '../codec/tensor.js';
import { halfToNumber } from '../codec/half-float.js';

const maxComparedJsonBytes = 256 * 1024;
export const maxComparedElements = 65_536;

export type Value = number | bigint | string | boolean | null;

export interface OutputValues {
  readonly name: string;
  /** Compared within a tolerance. */
  readonly floating: boolean;
  readonly shape: readonly number[];
  /** In order; the first ones of a large output. */
  readonly values: ArrayLike<Value>;
}

/**
 * @param signature says which numbers of the plain form are floats
 * @returns undefined for what is too large, or cannot be read
 */
export function outputValues(answer: EncodedResponse, signature: ModelSignature): OutputValues[] | undefined {
  const { body, jsonLength } = answer;
  if ((jsonLength ?? body.length) > maxComparedJsonBytes) return undefined;
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder().decode(body.subarray(0, jsonLength)));
  } catch {
    return undefined;
  }
  if (isObject(json) && isV2(json['outputs'])) {
    const tensors = new BinaryTensors(body, jsonLength ?? body.length);
    return json['outputs'].map((output) => tensorValues(output, tensors));
  }
  const parts: readonly (readonly [string, unknown])[] = isObject(json) ? Object.entries(json) : [['', json]];
  return parts.map(([name, value]) => plainValues(name, value, signature));
}

interface V2Output {
  readonly name: string;
  readonly datatype?: unknown;
  readonly shape?: unknown;
  readonly data?: unknown;
  readonly parameters?: unknown;
}

function isV2(outputs: unknown): outputs is readonly V2Output[] {
  return Array.isArray(outputs) && outputs.every((output) => isObject(output) && typeof output['name'] === 'string');
}

function tensorValues(output: V2Output, tensors: BinaryTensors): OutputValues {
  const { name, datatype, shape, data, parameters } = output;
  const size = isObject(parameters) ? parameters['binary_data_size'] : undefined;
  const floating = datatype === 'FP16' || datatype === 'FP32' || datatype === 'FP64';
  const dimensions = Array.isArray(shape) ? shape.map(Number) : [];
  const values = typeof size === 'number' ? tensors.next(datatype, size) : leavesOf(data).values;
  return { name, floating, shape: dimensions, values };
}

function plainValues(name: string, value: unknown, signature: ModelSignature): OutputValues {
  const { shape, values } = leavesOf(value);
  const known = signature.outputs.find((output) => output.name === name)?.datatype;
  const floating =
    known === undefined
      ? values.some((one) => typeof one === 'number' && !Number.isInteger(one))
      : known === 'FP16' || known === 'FP32' || known === 'FP64';
  return { name, floating, shape, values };
}

/** Row by row; an object's in the order of its keys. */
function leavesOf(value: unknown): { readonly shape: readonly number[]; readonly values: readonly Value[] } {
  const values: Value[] = [];
  const shape: number[] = [];
  for (let level = value; Array.isArray(level); level = level[0] as unknown) shape.push(level.length);
  const walk = (at: unknown): void => {
    if (Array.isArray(at)) for (const item of at) walk(item);
    else if (isObject(at)) for (const key of Object.keys(at).sort()) walk([key, at[key]]);
    else values.push(at as Value);
  };
  walk(value);
  return { shape, values };
}

class BinaryTensors {
  constructor(
    private readonly body: Uint8Array<ArrayBuffer>,
    private at: number,
  ) {}

  next(datatype: unknown, size: number): ArrayLike<Value> {
    const bytes = this.body.subarray(this.at, this.at + size);
    this.at += size;
    if (!isDatatype(datatype)) return [];
    if (datatype === 'BYTES') return strings(bytes);
    const width = elementBytes(datatype);
    const elements = Math.min(Math.floor(bytes.length / width), maxComparedElements);
    const view = viewElements(datatype, bytes.subarray(0, elements * width), elements);
    return datatype === 'FP16' ? Array.from(view as ArrayLike<number>, halfToNumber) : (view as ArrayLike<Value>);
  }
}

/** Elements of text, each compared as its bytes are. */
function strings(bytes: Uint8Array<ArrayBuffer>): string[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const out: string[] = [];
  let at = 0;
  let read = 0;
  while (at + 4 <= bytes.length && out.length < maxComparedElements && read < maxComparedJsonBytes) {
    const length = view.getUint32(at, true);
    out.push(
      Buffer.from(bytes.buffer, bytes.byteOffset + at + 4, Math.min(length, bytes.length - at - 4)).toString('latin1'),
    );
    at += 4 + length;
    read += length;
  }
  return out;
}
