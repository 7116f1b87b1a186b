/**
 * Raw binary requests (`Inference-Header-Content-Length: 0`): the body is the data of the model's one
 * input, and nothing else. What its length leaves open, the model's graph must say.
 */
import type { AppError } from '#shared/kernel/errors.js';
import { readBytesElements } from './bytes-elements.js';
import { invalidInput } from './invalid-input.js';
import { elementBytes, elementCount, formatType, type ModelSignature, type Tensor, viewElements } from './tensor.js';

/** @throws AppError `score.invalid-input` */
export function readRawRequest(body: Uint8Array<ArrayBuffer>, signature: ModelSignature): Tensor {
  const [input, ...others] = signature.inputs;
  if (!input || others.length > 0) {
    throw refused(`the model has ${String(signature.inputs.length)} inputs, and the bytes are of one`);
  }
  const { name, datatype } = input;
  const declared = formatType(datatype, input.shape);
  const shape = oneRow(input.shape);
  const free = shape.filter((size) => typeof size === 'string').length;
  if (free > 1) throw refused(`${String(free)} dimensions of ${declared} are free, and the length tells one of them`);
  if (datatype === 'BYTES') {
    const fixed = shape.map((size) => (typeof size === 'string' ? 1 : size));
    if (elementCount(fixed) !== 1) throw refused(`${declared} has more than one element`);
    return { name, datatype, shape: fixed, data: readBytesElements(name, withLength(body), 1) };
  }
  const bytesPerElement = elementBytes(datatype);
  const known = elementCount(shape.filter((size) => typeof size === 'number')) * bytesPerElement;
  const size = free === 0 || known === 0 ? 1 : body.length / known;
  const fixed = shape.map((dimension) => (typeof dimension === 'string' ? size : dimension));
  if (!Number.isInteger(size) || elementCount(fixed) * bytesPerElement !== body.length) {
    const need = free === 0 ? String(known) : `a multiple of ${String(known)}`;
    throw invalidInput(`input "${name}": a raw request for ${declared} has ${need} bytes, got ${String(body.length)}`);
  }
  if (datatype === 'BOOL') {
    const bad = body.findIndex((byte) => byte > 1);
    if (bad >= 0) throw invalidInput(`input "${name}": byte ${String(bad)} is ${String(body[bad])}; BOOL needs 0 or 1`);
  }
  return { name, datatype, shape: fixed, data: viewElements(datatype, body, elementCount(fixed)) };
}

/** A free first dimension of several is the batch, and a raw request is a batch of one. */
function oneRow(shape: readonly (number | string)[]): readonly (number | string)[] {
  return shape.length > 1 && typeof shape[0] === 'string' ? [1, ...shape.slice(1)] : shape;
}

function withLength(body: Uint8Array): Uint8Array {
  const element = new Uint8Array(4 + body.length);
  new DataView(element.buffer).setUint32(0, body.length, true);
  element.set(body, 4);
  return element;
}

function refused(why: string): AppError {
  return invalidInput(
    `a raw binary request (Inference-Header-Content-Length: 0) cannot be read: ${why}; send a JSON header`,
  );
}
