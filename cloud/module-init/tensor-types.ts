/** The tensors of a model as TypeScript, for the script of a new module. */
import type { Datatype, TensorSignature } from '#shared/scoring/codec/tensor.js';

const arrays: Readonly<Record<Datatype, string>> = {
  BOOL: 'Uint8Array',
  UINT8: 'Uint8Array',
  UINT16: 'Uint16Array',
  UINT32: 'Uint32Array',
  UINT64: 'BigUint64Array',
  INT8: 'Int8Array',
  INT16: 'Int16Array',
  INT32: 'Int32Array',
  INT64: 'BigInt64Array',
  FP16: 'Uint16Array',
  FP32: 'Float32Array',
  FP64: 'Float64Array',
  BYTES: 'string[]',
};

/** What stands for one element in nested arrays. */
const elements: Partial<Readonly<Record<Datatype, string>>> = {
  BOOL: 'boolean',
  UINT64: 'number | bigint',
  INT64: 'number | bigint',
  BYTES: 'string',
};

/** `FP32 [batch, 3, 32, 32]`; a free dimension without a name is `?`. */
export function tensorText({ datatype, shape }: TensorSignature): string {
  return `${datatype} [${shape.map((size) => (size === '' ? '?' : String(size))).join(', ')}]`;
}

/** A file `tensors.ts` that exports `ModelInputs` and `ModelOutputs`. */
export function tensorTypes(
  model: string,
  inputs: readonly TensorSignature[],
  outputs: readonly TensorSignature[],
): string {
  return `/** What ${printable(model)} takes and gives, as its graph says. Written by \`flotilla module init\`. */

/** Row by row; FP16 as its bits, BOOL as 0 and 1. */
export interface Tensor<Datatype extends string, Data> {
  readonly datatype: Datatype;
  readonly shape: readonly number[];
  readonly data: Data;
}

/** A scalar, or arrays in arrays: their lengths are the shape. */
export type Nested<Element> = Element | readonly Nested<Element>[];

export interface ModelInputs {
${inputs.map((input) => property(input, inputType(input))).join('\n')}
}

export interface ModelOutputs {
${outputs.map((output) => property(output, outputType(output))).join('\n')}
}
`;
}

function inputType({ datatype }: TensorSignature): string {
  const whole = `Tensor<'${datatype}', ${arrays[datatype]}>`;
  return datatype === 'FP16' ? whole : `${whole} | Nested<${elements[datatype] ?? 'number'}>`;
}

function outputType({ datatype }: TensorSignature): string {
  return `Tensor<'${datatype}', ${arrays[datatype]}>`;
}

function property(tensor: TensorSignature, type: string): string {
  return `  /** ${printable(tensorText(tensor))} */\n  readonly ${quoted(tensor.name)}: ${type};`;
}

/** A name as the code of a property or a text. */
export function quoted(name: string): string {
  return /^[A-Za-z_$][\w$]*$/.test(name) ? name : stringText(name);
}

/** Names come from a file of somebody: none of them can end the text or comment that it stands in. */
export function stringText(text: string): string {
  const escaped = JSON.stringify(text).slice(1, -1).replaceAll('\\"', '"').replaceAll("'", "\\'");
  return `'${escaped.replace(/[\u2028\u2029]/g, (one) => `\\u${one.charCodeAt(0).toString(16)}`)}'`;
}

function printable(text: string): string {
  return text
    .replace(/[\p{Cc}\p{Cf}\u2028\u2029]/gu, ' ')
    .replaceAll('*/', '* /')
    .replaceAll('`', "'");
}
