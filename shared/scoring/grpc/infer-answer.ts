/**
 * A V2 response, as a worker or a script wrote it, as the parts of a ModelInferResponse. Tensors stay where
 * they are: they are copied once, into the message.
 */
import { AppError, messageOf } from '#shared/kernel/errors.js';
import { writeBytesElements } from '../codec/bytes-elements.js';
import { isObject } from '../codec/infer-request.js';
import { type EncodedResponse, readInferResponse } from '../codec/infer-response.js';
import { parseJsonText } from '../codec/json-text.js';
import { bytesOf, type NumericData } from '../codec/tensor.js';
import type { inferOutputTensor, inferParameter, modelInferResponse } from './messages.js';
import type { MessageOf } from './message-type.js';

export type AnswerMessage = Partial<MessageOf<typeof modelInferResponse>>;
type Parameter = Partial<MessageOf<typeof inferParameter>>;
type Output = Partial<MessageOf<typeof inferOutputTensor>>;

interface RawOutput {
  readonly head: Output;
  readonly bytes: Uint8Array;
}

/** @throws AppError `score.failed` for what is no V2 response */
export function answerMessageOf(answer: EncodedResponse): AnswerMessage {
  try {
    const head = parseJsonText(answer.body.subarray(0, answer.jsonLength)).value;
    if (!isObject(head)) throw new Error('it is no JSON object');
    const outputs = slices(head['outputs'], answer) ?? decoded(answer);
    return {
      model_name: textOf(head['model_name']),
      model_version: textOf(head['model_version']),
      id: textOf(head['id']),
      parameters: parametersOf(head['parameters']),
      outputs: outputs.map((output) => output.head),
      raw_output_contents: outputs.map(({ bytes }) => bytes),
    };
  } catch (error) {
    throw new AppError('score.failed', `the answer is no V2 inference response: ${messageOf(error)}`, { cause: error });
  }
}

/** Where all outputs are binary and of fixed width, as ours are; undefined leaves it to the codec. */
function slices(outputs: unknown, { body, jsonLength }: EncodedResponse): readonly RawOutput[] | undefined {
  if (!Array.isArray(outputs) || jsonLength === undefined) return undefined;
  let at = jsonLength;
  const raw: RawOutput[] = [];
  for (const output of outputs as unknown[]) {
    if (!isObject(output)) return undefined;
    const { name, datatype, shape, parameters } = output;
    const size = isObject(parameters) ? parameters['binary_data_size'] : undefined;
    if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0 || at + size > body.length)
      return undefined;
    if (typeof name !== 'string' || typeof datatype !== 'string' || !isShape(shape)) return undefined;
    raw.push({
      head: { name, datatype, shape, parameters: parametersOf(parameters) },
      bytes: body.subarray(at, at + size),
    });
    at += size;
  }
  return at === body.length ? raw : undefined;
}

function decoded({ body, jsonLength }: EncodedResponse): readonly RawOutput[] {
  return readInferResponse(body, jsonLength).map(({ name, datatype, shape, data }) => ({
    head: { name, datatype, shape },
    bytes: datatype === 'BYTES' ? writeBytesElements(data as string[]) : bytesOf(data as NumericData),
  }));
}

function parametersOf(parameters: unknown): ReadonlyMap<string, Parameter> {
  const table = new Map<string, Parameter>();
  for (const [key, value] of Object.entries(isObject(parameters) ? parameters : {})) {
    if (key === 'binary_data_size') continue;
    if (typeof value === 'boolean') table.set(key, { bool_param: value });
    else if (typeof value === 'string') table.set(key, { string_param: value });
    else if (Number.isSafeInteger(value)) table.set(key, { int64_param: BigInt(value as number) });
    else if (typeof value === 'number') table.set(key, { double_param: value });
  }
  return table;
}

function isShape(value: unknown): value is readonly number[] {
  return Array.isArray(value) && value.every((part) => Number.isSafeInteger(part) && (part as number) >= 0);
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}
