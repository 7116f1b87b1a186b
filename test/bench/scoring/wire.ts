/**
 * The few tensors of the benchmark on the wire of the Open Inference Protocol V2, JSON and binary. Written apart
 * from the server's own codec: what checks its answers must not share its mistakes.
 */
export type Datatype = 'FP32' | 'INT64';
export type Form = 'JSON' | 'binary';

export interface BenchTensor {
  readonly name: string;
  readonly datatype: Datatype;
  readonly shape: readonly number[];
  readonly data: readonly number[];
}

export interface Message {
  readonly body: Buffer;
  /** Length of the JSON before binary data; absent where all is JSON. */
  readonly jsonLength?: number;
}

export const jsonLengthHeader = 'inference-header-content-length';

export function requestOf(inputs: readonly BenchTensor[], form: Form): Message {
  return encode('inputs', inputs, form, form === 'binary' ? { parameters: { binary_data_output: true } } : {});
}

export function responseOf(model: string, outputs: readonly BenchTensor[], form: Form): Message {
  return encode('outputs', outputs, form, { model_name: model, model_version: '1' });
}

/** Header fields that a request or an answer of this body has. */
export function headersOf({ jsonLength }: Message): Record<string, string> {
  return jsonLength === undefined
    ? { 'content-type': 'application/json' }
    : { 'content-type': 'application/octet-stream', [jsonLengthHeader]: String(jsonLength) };
}

/** @throws where it is no answer */
export function readResponse({ body, jsonLength }: Message): readonly BenchTensor[] {
  const { outputs } = JSON.parse(body.toString('utf8', 0, jsonLength ?? body.length)) as {
    readonly outputs: readonly WireTensor[];
  };
  let at = jsonLength ?? body.length;
  return outputs.map(({ name, datatype, shape, data, parameters }) => {
    const size = parameters?.binary_data_size;
    if (size === undefined) return { name, datatype, shape, data: ((data ?? []) as number[]).flat(8) };
    const block = body.subarray(at, at + size);
    at += size;
    return { name, datatype, shape, data: elementsOf(datatype, block) };
  });
}

interface WireTensor {
  readonly name: string;
  readonly datatype: Datatype;
  readonly shape: readonly number[];
  readonly data?: readonly unknown[];
  readonly parameters?: { readonly binary_data_size?: number };
}

function encode(key: 'inputs' | 'outputs', tensors: readonly BenchTensor[], form: Form, more: object): Message {
  if (form === 'JSON') return { body: Buffer.from(JSON.stringify({ ...more, [key]: tensors })) };
  const blocks = tensors.map(bytesOf);
  const heads = tensors.map(({ name, datatype, shape }, index) => ({
    name,
    datatype,
    shape,
    parameters: { binary_data_size: blocks[index]?.length ?? 0 },
  }));
  const head = Buffer.from(JSON.stringify({ ...more, [key]: heads }));
  return { body: Buffer.concat([head, ...blocks]), jsonLength: head.length };
}

function bytesOf({ datatype, data }: BenchTensor): Buffer {
  const array = datatype === 'FP32' ? Float32Array.from(data) : BigInt64Array.from(data.map(BigInt));
  return Buffer.from(array.buffer);
}

function elementsOf(datatype: Datatype, block: Uint8Array): readonly number[] {
  const { buffer } = Uint8Array.from(block);
  return datatype === 'FP32' ? [...new Float32Array(buffer)] : [...new BigInt64Array(buffer)].map(Number);
}

/** What differs more than the tolerance; undefined where all agrees. */
export function difference(
  expected: readonly BenchTensor[],
  got: readonly BenchTensor[],
  tolerance = { absolute: 1e-4, relative: 1e-3 },
): string | undefined {
  for (const { name, shape, data } of expected) {
    const other = got.find((tensor) => tensor.name === name);
    if (!other) return `no output "${name}"`;
    if (other.shape.join() !== shape.join()) {
      return `output "${name}" has shape [${other.shape.join()}], expected [${shape.join()}]`;
    }
    if (other.data.length !== data.length) return `output "${name}" has ${String(other.data.length)} elements`;
    const index = data.findIndex((value, at) => {
      const allowed = tolerance.absolute + tolerance.relative * Math.abs(value);
      return !(Math.abs((other.data[at] ?? Number.NaN) - value) <= allowed);
    });
    if (index >= 0) {
      return `output "${name}" element ${String(index)} is ${String(other.data[index])}, expected ${String(data[index])}`;
    }
  }
  return undefined;
}
