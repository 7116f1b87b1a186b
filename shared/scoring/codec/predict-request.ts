/**
 * `:predict` of the V1 protocol: rows in `instances`, answered by `predictions`, or whole inputs in
 * `inputs`, answered by `outputs`. Where the model has one input or output, its name may be left out.
 */
import { AppError } from '#shared/kernel/errors.js';
import { isObject } from './infer-request.js';
import { invalidInput, show } from './invalid-input.js';
import { nestJson } from './json-data.js';
import { type JsonText, partOf } from './json-text.js';
import { readPlainRequest } from './plain-request.js';
import { elementCount, formatType, type ModelSignature, type Tensor } from './tensor.js';

export interface PredictRequest {
  readonly inputs: readonly Tensor[];
  /** Rows of `instances`; undefined where whole inputs were sent. */
  readonly rows: number | undefined;
}

/** @throws AppError `score.invalid-input` */
export function readPredictRequest(json: JsonText, signature: ModelSignature): PredictRequest {
  const { value } = json;
  if (!isObject(value)) throw invalidInput(`a prediction request is a JSON object, got ${show(value)}`);
  const { instances, inputs } = value;
  if (instances !== undefined && inputs !== undefined) {
    throw invalidInput('the request has both "instances" and "inputs": send one');
  }
  if (instances !== undefined) return readRows(instances, partOf(json, 'instances'), signature);
  if (inputs === undefined)
    throw invalidInput('the request has neither "instances" (rows) nor "inputs" (whole inputs)');
  const [only] = signature.inputs;
  const columns = partOf(json, 'inputs');
  if (isObject(inputs)) return { inputs: readPlainRequest(columns, signature), rows: undefined };
  if (!only || signature.inputs.length > 1) throw unnamed('inputs', signature);
  return { inputs: readPlainRequest(named(only.name, columns), signature), rows: undefined };
}

function readRows(instances: unknown, json: JsonText, signature: ModelSignature): PredictRequest {
  if (!Array.isArray(instances) || instances.length === 0) {
    throw invalidInput(`"instances" must be an array of at least one row, got ${show(instances)}`);
  }
  const rows = instances.length;
  const [only, ...others] = signature.inputs;
  if (instances.every(isObject)) {
    const column = (list: readonly unknown[], name: string): unknown[] =>
      list.map((row, index) => {
        if (!isObject(row) || !Object.hasOwn(row, name)) {
          throw invalidInput(`instances[${String(index)}] has no "${name}", which the first one has`);
        }
        return row[name];
      });
    const names = Object.keys((instances as Record<string, unknown>[])[0] ?? {});
    refuseStrangers(instances as Record<string, unknown>[], names);
    const columns = (list: unknown): Record<string, unknown> =>
      Object.fromEntries(names.map((name) => [name, column(list as unknown[], name)]));
    return {
      inputs: readPlainRequest({ value: columns(instances), exact: () => columns(json.exact()) }, signature),
      rows,
    };
  }
  if (!only || others.length > 0) throw unnamed('instances', signature);
  return { inputs: readPlainRequest(named(only.name, json), signature), rows };
}

function refuseStrangers(instances: readonly Record<string, unknown>[], names: readonly string[]): void {
  const known = new Set(names);
  instances.forEach((row, index) => {
    const stranger = Object.keys(row).find((name) => !known.has(name));
    if (stranger !== undefined) {
      throw invalidInput(`instances[${String(index)}] has "${stranger}", which the first one has not`);
    }
  });
}

function named(name: string, json: JsonText): JsonText {
  return { value: { [name]: json.value }, exact: () => ({ [name]: json.exact() }) };
}

function unnamed(field: string, { inputs }: ModelSignature): AppError {
  const names = inputs.map(({ name, datatype, shape }) => `"${name}": ${formatType(datatype, shape)}`).join(', ');
  const form = field === 'instances' ? 'each of "instances" must be an object' : '"inputs" must be an object';
  return invalidInput(`the model has ${String(inputs.length)} inputs: ${form} {${names}}`);
}

/** @throws AppError `score.failed` where an output has no row for each instance, or JSON cannot carry it */
export function encodePredictResponse(outputs: readonly Tensor[], rows: number | undefined): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(
    rows === undefined ? `{"outputs":${wholeOutputs(outputs)}}` : `{"predictions":${rowsOf(outputs, rows)}}`,
  );
}

function wholeOutputs(outputs: readonly Tensor[]): string {
  const [only, ...others] = outputs;
  if (only && others.length === 0) return nestJson(only);
  return `{${outputs.map((output) => `${JSON.stringify(output.name)}:${nestJson(output)}`).join(',')}}`;
}

function rowsOf(outputs: readonly Tensor[], rows: number): string {
  const bad = outputs.find(({ shape }) => shape[0] !== rows);
  if (bad) {
    throw new AppError(
      'score.failed',
      `output "${bad.name}" is ${formatType(bad.datatype, bad.shape)}, not one row for each of ${String(rows)} instances: send "inputs" instead`,
    );
  }
  const [only, ...others] = outputs;
  if (only && others.length === 0) return nestJson(only);
  const lines = Array.from({ length: rows }, (_, row) => {
    const fields = outputs.map((output) => `${JSON.stringify(output.name)}:${nestJson(rowOf(output, row))}`);
    return `{${fields.join(',')}}`;
  });
  return `[${lines.join(',')}]`;
}

function rowOf(tensor: Tensor, row: number): Tensor {
  const shape = tensor.shape.slice(1);
  const size = elementCount(shape);
  return { ...tensor, shape, data: tensor.data.slice(row * size, (row + 1) * size) as Tensor['data'] };
}
