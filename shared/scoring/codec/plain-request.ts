/**
 * The plain form of `/score`: a JSON object with one nested array per input, `{"image": [[[[0, 7, …]]]]}`.
 * Datatypes come from the model's graph, shapes from the nesting; a bare value is a scalar.
 */
import {
  dataFromScan,
  isObject,
  requestFromJson,
  resolveInputs,
  type InferRequest,
  type RequestedInput,
} from './infer-request.js';
import { dataFromJson, nestJson } from './json-data.js';
import { parseJsonText, partOf, type JsonText } from './json-text.js';
import { invalidInput, show } from './invalid-input.js';
import { ScannedNumbers } from './scan/scan-numbers.js';
import { scanInferRequest, scanPlainRequest } from './scan/scan-request.js';
import { type ModelSignature, type Tensor, formatType } from './tensor.js';

/** Whether the body has the shape of a V2 request: everything else is taken as plain. */
export function isInferRequest(value: unknown): boolean {
  return (
    isObject(value) &&
    Array.isArray(value['inputs']) &&
    value['inputs'].some((input: unknown) => isObject(input) && 'name' in input)
  );
}

export type ScoreRequest =
  | { readonly form: 'infer'; readonly request: InferRequest }
  | { readonly form: 'plain'; readonly inputs: Tensor[] };

/**
 * The body of `/score`: a V2 request or the plain form, whichever it is.
 *
 * @throws AppError `score.invalid-input`
 */
export function readScoreRequest(body: Uint8Array<ArrayBuffer>, signature: ModelSignature): ScoreRequest {
  const plain = scanPlainRequest(body, signature);
  if (plain) return { form: 'plain', inputs: readPlainRequest({ value: plain, exact: () => plain }, signature) };
  const infer = scanInferRequest(body);
  const json = infer && isInferRequest(infer) ? { value: infer, exact: () => infer } : parseJsonText(body);
  if (isInferRequest(json.value)) return { form: 'infer', request: requestFromJson(json, undefined) };
  return { form: 'plain', inputs: readPlainRequest(json, signature) };
}

/** @throws AppError `score.invalid-input` */
export function readPlainRequest(json: JsonText, signature: ModelSignature): Tensor[] {
  const { value } = json;
  const form = `{${signature.inputs.map(({ name, datatype, shape }) => `"${name}": ${formatType(datatype, shape)}`).join(', ')}}`;
  if (!isObject(value)) {
    throw invalidInput(`send a V2 inference request, or a JSON object of nested arrays ${form}; got ${show(value)}`);
  }
  const inputs = Object.entries(value).map(([name, data]): RequestedInput => {
    const expected = signature.inputs.find((input) => input.name === name);
    if (!expected) throw invalidInput(`the model has no input "${name}"; send a V2 inference request, or ${form}`);
    const { datatype } = expected;
    if (data instanceof ScannedNumbers) {
      const shape = data.dims.slice(0, expected.shape.length + 1);
      return { name, datatype, shape, data: () => dataFromScan(name, datatype, shape, data) };
    }
    const shape = shapeOf(data, expected.shape.length);
    const exact = (): unknown => wrap(partOf(json, name).exact());
    return { name, datatype, shape, data: () => dataFromJson(name, datatype, shape, wrap(data), exact) };
  });
  return resolveInputs(inputs, signature);
}

/** `{"probabilities": [[…]], "label": [3]}` */
export function encodePlainResponse(outputs: readonly Tensor[]): Uint8Array<ArrayBuffer> {
  const fields = outputs.map((output) => `${JSON.stringify(output.name)}:${nestJson(output)}`);
  return new TextEncoder().encode(`{${fields.join(',')}}`);
}

/** Lengths along the first elements; the codec then checks that all others agree. At most `rank + 1` deep. */
function shapeOf(data: unknown, rank: number): number[] {
  const shape: number[] = [];
  let level = data;
  while (Array.isArray(level) && shape.length <= rank) {
    shape.push(level.length);
    level = level[0] as unknown;
  }
  return shape;
}

/** A scalar stands alone; as data it is an array of one. */
function wrap(data: unknown): unknown {
  return Array.isArray(data) ? data : [data];
}
