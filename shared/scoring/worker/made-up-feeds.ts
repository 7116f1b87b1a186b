/** Inputs of the right types and shapes, all zero: for a first run that nobody reads the answer of. */
import * as ort from 'onnxruntime-node';

/** More is no trial but a load. */
const maxElements = 16 * 1024 * 1024;

const arrays = {
  float32: Float32Array,
  float64: Float64Array,
  // Bits: the library takes them as such.
  float16: Uint16Array,
  int8: Int8Array,
  uint8: Uint8Array,
  int16: Int16Array,
  uint16: Uint16Array,
  int32: Int32Array,
  uint32: Uint32Array,
  int64: BigInt64Array,
  uint64: BigUint64Array,
  bool: Uint8Array,
} as const;

/**
 * @param freeSize size of free dimensions after the first, which is 1
 * @returns undefined for an input that cannot be made up
 */
export function madeUpFeeds(
  inputs: readonly ort.InferenceSession.ValueMetadata[],
  freeSize: number,
): Record<string, ort.Tensor> | undefined {
  const feeds: Record<string, ort.Tensor> = {};
  for (const input of inputs) {
    const tensor = input.isTensor ? zeros(input.type, input.shape, freeSize) : undefined;
    if (tensor === undefined) return undefined;
    feeds[input.name] = tensor;
  }
  return feeds;
}

function zeros(type: ort.Tensor.Type, shape: readonly (number | string)[], freeSize: number): ort.Tensor | undefined {
  const dims = shape.map((size, index) => (typeof size === 'number' ? size : index === 0 ? 1 : freeSize));
  const count = dims.reduce((product, size) => product * size, 1);
  if (count > maxElements) return undefined;
  if (type === 'string') return new ort.Tensor('string', Array<string>(count).fill(''), dims);
  if (!isNumeric(type)) return undefined;
  try {
    return new ort.Tensor(type, new arrays[type](count), dims);
  } catch {
    // Half floats on a Node that has its own array of them.
    return undefined;
  }
}

function isNumeric(type: ort.Tensor.Type): type is keyof typeof arrays {
  return Object.hasOwn(arrays, type);
}
