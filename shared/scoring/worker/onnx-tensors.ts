/** Between our tensors and onnxruntime's. Used in worker threads only: importing it loads the library. */
import * as ort from 'onnxruntime-node';
import { AppError } from '#shared/kernel/errors.js';
import { invalidInput } from '../codec/invalid-input.js';
import { elementCount, type Datatype, type NumericData, type Tensor, type TensorSignature } from '../codec/tensor.js';

const typeNames = {
  BOOL: 'bool',
  UINT8: 'uint8',
  UINT16: 'uint16',
  UINT32: 'uint32',
  UINT64: 'uint64',
  INT8: 'int8',
  INT16: 'int16',
  INT32: 'int32',
  INT64: 'int64',
  FP16: 'float16',
  FP32: 'float32',
  FP64: 'float64',
  BYTES: 'string',
} as const satisfies Record<Datatype, ort.Tensor.Type>;

function datatypeOf(type: ort.Tensor.Type): Datatype | undefined {
  return (Object.keys(typeNames) as Datatype[]).find((datatype) => typeNames[datatype] === type);
}

/** @throws AppError `model.unloadable` for what the protocol has no word for */
export function signatureOf(values: readonly ort.InferenceSession.ValueMetadata[]): TensorSignature[] {
  return values.map((value) => {
    if (!value.isTensor) {
      throw new AppError(
        'model.unloadable',
        `"${value.name}" of the model is not a tensor: sequences and maps are not served`,
      );
    }
    const datatype = datatypeOf(value.type);
    if (!datatype) {
      throw new AppError(
        'model.unloadable',
        `tensor "${value.name}" of the model has type ${value.type}, which is not served`,
      );
    }
    if (datatype === 'FP16' && !exchangesHalfFloats()) {
      throw new AppError(
        'model.unloadable',
        `tensor "${value.name}" of the model is FP16, which onnxruntime-node cannot exchange on Node ${process.versions.node}: run on Node 20 or 22, or export the model with FP32 inputs and outputs`,
      );
    }
    return { name: value.name, datatype, shape: [...value.shape] };
  });
}

/** Where the runtime has a Float16Array of its own (Node 24), the binding reads and writes no bytes of it. */
function exchangesHalfFloats(): boolean {
  return Reflect.get(globalThis, 'Float16Array') === undefined;
}

export function toOnnx(tensor: Tensor): ort.Tensor {
  if (tensor.datatype === 'BYTES') {
    const strings = tensor.data as string[];
    refuseCutStrings(tensor.name, strings);
    return new ort.Tensor('string', strings, tensor.shape);
  }
  return new ort.Tensor(typeNames[tensor.datatype], tensor.data as ort.Tensor['data'], tensor.shape);
}

/** The library takes strings as C does: it would drop what follows a null character without a word. */
function refuseCutStrings(name: string, strings: readonly string[]): void {
  const index = strings.findIndex((text) => text.includes('\0'));
  if (index >= 0) {
    throw invalidInput(`input "${name}": element ${String(index)} has a null character, which the model cannot take`);
  }
}

/** Reads the data once and lets go of the library's tensor. */
export function fromOnnx(name: string, value: ort.OnnxValue): Tensor {
  const datatype = value instanceof ort.Tensor ? datatypeOf(value.type) : undefined;
  if (!datatype) throw new AppError('score.failed', `output "${name}" of the model is not a tensor that can be sent`);
  const shape = [...value.dims];
  const data = value.data as NumericData | string[];
  if (datatype === 'BYTES') return { name, datatype, shape, data };
  if (datatype === 'FP16') {
    const bits = data as NumericData;
    return { name, datatype, shape, data: new Uint16Array(bits.buffer, bits.byteOffset, elementCount(shape)) };
  }
  return { name, datatype, shape, data };
}
