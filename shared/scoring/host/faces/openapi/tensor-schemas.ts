/** Tensors of a model's graph as JSON Schemas, and small examples of them. */
import { type Datatype, integerRanges, type TensorSignature } from '../../../codec/tensor.js';

export type Schema = Readonly<Record<string, unknown>>;

/** What is larger stands in no document. */
const largestExample = 256;

/** The smallest that would round to infinity. */
const floatBounds: Partial<Record<Datatype, number>> = { FP16: 65_520, FP32: 3.4028235677973366e38 };

export function elementSchema(datatype: Datatype): Schema {
  if (datatype === 'BOOL') return { type: 'boolean' };
  if (datatype === 'BYTES') return { type: 'string' };
  if (datatype === 'FP16' || datatype === 'FP32' || datatype === 'FP64') {
    const bound = floatBounds[datatype];
    return bound === undefined
      ? { type: 'number' }
      : { type: 'number', exclusiveMinimum: -bound, exclusiveMaximum: bound };
  }
  if (datatype === 'UINT64') return { type: 'integer', minimum: 0 };
  const range = integerRanges[datatype];
  return range ? { type: 'integer', minimum: range[0], maximum: range[1] } : { type: 'integer', format: 'int64' };
}

/** Arrays nested as the shape says; the element itself for a scalar. */
export function nestedSchema({ datatype, shape }: TensorSignature): Schema {
  return shape.reduceRight<Schema>(
    (items, size) =>
      typeof size === 'number' ? { type: 'array', items, minItems: size, maxItems: size } : { type: 'array', items },
    elementSchema(datatype),
  );
}

/** Free dimensions are 1; undefined where that would be long. */
export function nestedExample({ datatype, shape }: TensorSignature): unknown {
  const sizes = exampleShape(shape);
  if (sizes.reduce((product, size) => product * size, 1) > largestExample) return undefined;
  return sizes.reduceRight<unknown>((item, size) => Array.from({ length: size }, () => item), exampleElement(datatype));
}

export function flatExample({ datatype, shape }: TensorSignature): readonly unknown[] | undefined {
  const count = exampleShape(shape).reduce((product, size) => product * size, 1);
  return count > largestExample ? undefined : Array.from({ length: count }, () => exampleElement(datatype));
}

export function exampleShape(shape: TensorSignature['shape']): number[] {
  return shape.map((size) => (typeof size === 'string' ? 1 : size));
}

function exampleElement(datatype: Datatype): unknown {
  if (datatype === 'BOOL') return false;
  return datatype === 'BYTES' ? 'text' : 0;
}
