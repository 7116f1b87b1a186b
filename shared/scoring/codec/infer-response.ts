/** Inference responses of the Open Inference Protocol V2, JSON with or without binary tensors after it. */
import { writeBytesElements } from './bytes-elements.js';
import { concatenate, isObject, requestFromJson } from './infer-request.js';
import { invalidInput } from './invalid-input.js';
import { dataToJson } from './json-data.js';
import { parseJsonText, partOf, type JsonText } from './json-text.js';
import { bytesOf, type NumericData, type Tensor } from './tensor.js';

export interface EncodedResponse {
  readonly body: Uint8Array<ArrayBuffer>;
  /** Length of the JSON; present when binary tensors follow it. */
  readonly jsonLength?: number;
}

/** @throws AppError for a value that JSON cannot carry (`dataToJson`) */
export function encodeInferResponse(response: {
  readonly modelName: string;
  readonly modelVersion: string;
  readonly id: string | undefined;
  readonly outputs: readonly { readonly tensor: Tensor; readonly binary: boolean }[];
}): EncodedResponse {
  const blocks: Uint8Array[] = [];
  const outputs = response.outputs.map(({ tensor, binary }) => {
    const { name, datatype, shape, data } = tensor;
    const head = `{"name":${JSON.stringify(name)},"datatype":"${datatype}","shape":[${shape.join(',')}]`;
    if (!binary) return `${head},"data":${dataToJson(tensor)}}`;
    const block = datatype === 'BYTES' ? writeBytesElements(data as string[]) : bytesOf(data as NumericData);
    blocks.push(block);
    return `${head},"parameters":{"binary_data_size":${String(block.length)}}}`;
  });
  const id = response.id === undefined ? '' : `"id":${JSON.stringify(response.id)},`;
  const head = `{${id}"model_name":${JSON.stringify(response.modelName)},"model_version":${JSON.stringify(response.modelVersion)},"outputs":[${outputs.join(',')}]}`;
  const json = new TextEncoder().encode(head);
  if (blocks.length === 0) return { body: json };
  return { body: concatenate([json, ...blocks]), jsonLength: json.length };
}

/**
 * What a client reads: the outputs of a response, exact also for 64-bit integers.
 *
 * @throws AppError `score.invalid-input`
 */
export function readInferResponse(body: Uint8Array<ArrayBuffer>, jsonLength: number | undefined): Tensor[] {
  if (jsonLength !== undefined && jsonLength > body.length) throw invalidInput('the response is cut short');
  const binary = jsonLength === undefined ? undefined : body.subarray(jsonLength);
  return responseFromJson(parseJsonText(body.subarray(0, jsonLength)), binary);
}

/** @throws AppError `score.invalid-input` */
export function responseFromJson(json: JsonText, binary: Uint8Array<ArrayBuffer> | undefined): Tensor[] {
  if (!isObject(json.value)) throw invalidInput('an inference response is a JSON object');
  // The tensors of a response have the form of a request's inputs.
  const outputs = partOf(json, 'outputs');
  const asRequest = { value: { inputs: outputs.value }, exact: () => ({ inputs: outputs.exact() }) };
  return requestFromJson(asRequest, binary).inputs.map((output) => ({ ...output, data: output.data() }));
}
