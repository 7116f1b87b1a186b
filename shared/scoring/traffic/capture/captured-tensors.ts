/**
 * Requests and answers as what is kept of them: one record a tensor, with name, datatype, shape and values.
 * Large ones stand as their digest. What is to be left out is so before anything is formatted: of such a
 * tensor neither values nor a digest, which would let small ranges of values be guessed, are kept.
 */
import { createHash } from 'node:crypto';
import { isObject, readInferRequest, requestFromJson } from '../../codec/infer-request.js';
import { responseFromJson } from '../../codec/infer-response.js';
import { parseJsonText } from '../../codec/json-text.js';
import { isInferRequest } from '../../codec/plain-request.js';
import {
  bytesOf,
  type Datatype,
  elementCount,
  type ModelSignature,
  type TensorData,
  type TensorSignature,
} from '../../codec/tensor.js';
import { halfToNumber } from '../../codec/half-float.js';

/** JSON beyond is not parsed on the thread that speaks HTTP, and larger tensors are not formatted. */
export const maxJsonBytes = 256 * 1024;
export const maxElements = 16_384;

export const redacted = '[redacted]';

export interface CapturedTensor {
  readonly name: string;
  readonly datatype?: Datatype;
  readonly shape?: readonly number[];
  readonly data?: unknown;
  /** In place of values that are too many. */
  readonly dataref?: { readonly bytes: number; readonly digest?: string };
}

export interface CaptureOptions {
  readonly redact: ReadonlySet<string>;
  readonly signature: ModelSignature;
}

interface Bytes {
  readonly body: Uint8Array<ArrayBuffer>;
  readonly jsonLength: number | undefined;
}

/** @throws AppError for what is no request; such a one has no answer either */
export function requestTensors({ body, jsonLength }: Bytes, options: CaptureOptions): CapturedTensor[] {
  if ((jsonLength ?? body.length) > maxJsonBytes) return [whole(body, options)];
  if (jsonLength === 0) return [rawTensor(body, options)];
  if (jsonLength !== undefined) return readInferRequest(body, jsonLength).inputs.map((input) => tensor(input, options));
  const json = parseJsonText(body);
  return isInferRequest(json.value)
    ? requestFromJson(json, undefined).inputs.map((input) => tensor(input, options))
    : plainTensors(json.value, options.signature.inputs, options);
}

/** @throws AppError for what is no answer of a model */
export function answerTensors({ body, jsonLength }: Bytes, options: CaptureOptions): CapturedTensor[] {
  if ((jsonLength ?? body.length) > maxJsonBytes) return [whole(body, options)];
  const json = parseJsonText(body.subarray(0, jsonLength));
  if (isObject(json.value) && Array.isArray(json.value['outputs'])) {
    const binary = jsonLength === undefined ? undefined : body.subarray(jsonLength);
    return responseFromJson(json, binary).map((output) => tensor({ ...output, data: () => output.data }, options));
  }
  return plainTensors(json.value, options.signature.outputs, options);
}

function tensor(
  read: { name: string; datatype: Datatype; shape: readonly number[]; data: () => TensorData },
  { redact }: CaptureOptions,
): CapturedTensor {
  const { name, datatype, shape } = read;
  const head = { name, datatype, shape };
  if (redact.has(name)) return { ...head, data: redacted };
  const data = read.data();
  if (elementCount(shape) <= maxElements) return { ...head, data: jsonValues(datatype, data) };
  const bytes = Array.isArray(data) ? new TextEncoder().encode(JSON.stringify(data)) : bytesOf(data);
  return { ...head, dataref: { bytes: bytes.length, digest: digestOf(bytes) } };
}

/** The one input of a raw request. */
function rawTensor(body: Uint8Array<ArrayBuffer>, options: CaptureOptions): CapturedTensor {
  const [input] = options.signature.inputs;
  const name = input?.name ?? '';
  if (options.redact.has(name)) return { name, data: redacted };
  return { name, dataref: { bytes: body.length, digest: digestOf(body) } };
}

function plainTensors(json: unknown, known: readonly TensorSignature[], { redact }: CaptureOptions): CapturedTensor[] {
  if (!isObject(json)) return redact.size > 0 ? [{ name: '', data: redacted }] : [{ name: '', data: json }];
  return Object.entries(json).map(([name, data]) => {
    const datatype = known.find((one) => one.name === name)?.datatype;
    const shape: number[] = [];
    for (let level: unknown = data; Array.isArray(level); level = level[0] as unknown) shape.push(level.length);
    const head = { name, ...(datatype === undefined ? {} : { datatype }), shape };
    if (redact.has(name)) return { ...head, data: redacted };
    if (elementCount(shape) <= maxElements) return { ...head, data };
    const bytes = new TextEncoder().encode(JSON.stringify(data));
    return { ...head, dataref: { bytes: bytes.length, digest: digestOf(bytes) } };
  });
}

/** Too large to be read: names are unknown, so that a digest may cover what is to be left out. */
function whole(body: Uint8Array<ArrayBuffer>, { redact }: CaptureOptions): CapturedTensor {
  const digest = redact.size > 0 ? {} : { digest: digestOf(body) };
  return { name: '', dataref: { bytes: body.length, ...digest } };
}

/** JSON has neither 64-bit integers nor NaN and infinities: those stand as text. */
function jsonValues(datatype: Datatype, data: TensorData): unknown[] {
  if (datatype === 'BOOL') return Array.from(data as Uint8Array, (value) => value !== 0);
  if (datatype === 'FP16') return Array.from(data as Uint16Array, (bits) => numberOrText(halfToNumber(bits)));
  return Array.from(data as ArrayLike<number | bigint | string>, (value) => {
    if (typeof value === 'number') return numberOrText(value);
    return typeof value === 'bigint' ? integerOrText(value) : value;
  });
}

function numberOrText(value: number): number | string {
  return Number.isFinite(value) ? value : String(value);
}

function integerOrText(value: bigint): number | string {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : String(value);
}

function digestOf(bytes: Uint8Array): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}
