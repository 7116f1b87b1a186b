/** Between our tensors and onnxruntime's. Used in worker threads only: importing it loads the library. */
import * as ort from 'onnxruntime-node';
import { AppError, messageOf } from '#shared/kernel/errors.js';
import { invalidInput } from '../codec/invalid-input.js';
import {
  datatypes,
  elementCount,
  type Datatype,
  type ModelSignature,
  type NumericData,
  type Tensor,
  type TensorSignature,
} from '../codec/tensor.js';

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

/**
 * What of a model can be served. An output that is no tensor is left out, as the labels beside the map of
 * a scikit-learn classifier are worth serving; an input that is none makes the model unusable.
 *
 * @throws AppError `model.unloadable`
 */
export function modelSignature(
  session: Pick<ort.InferenceSession, 'inputMetadata' | 'outputMetadata'>,
): ModelSignature {
  const inputs = signatureOf(session.inputMetadata);
  const read = session.outputMetadata.map((value) => ({ value, fault: outputFault(value) }));
  const outputs = signatureOf(read.flatMap(({ value, fault }) => (fault === undefined ? [value] : [])));
  const notServed = read.flatMap(({ value, fault }) =>
    fault === undefined ? [] : [{ name: value.name, reason: fault }],
  );
  if (outputs.length === 0) {
    throw new AppError(
      'model.unloadable',
      `no output of the model can be served: ${notServed.map(({ reason }) => reason).join('; ')}`,
    );
  }
  return notServed.length === 0 ? { inputs, outputs } : { inputs, outputs, notServed };
}

/** @throws AppError `model.unloadable` for an input that the library or the protocol cannot carry */
export function signatureOf(values: readonly ort.InferenceSession.ValueMetadata[]): TensorSignature[] {
  return values.map((value) => {
    if (!value.isTensor) {
      throw new AppError(
        'model.unloadable',
        `input "${value.name}" of the model is a sequence, a map or an optional, which onnxruntime-node cannot be given: export the model with a tensor in its place, a sequence of equal tensors as one tensor with a dimension more`,
      );
    }
    const datatype = datatypeOf(value.type);
    if (!datatype) throw new AppError('model.unloadable', `tensor ${unservedType(value.name, value.type)}`);
    return { name: value.name, datatype, shape: [...value.shape] };
  });
}

function outputFault(value: ort.InferenceSession.ValueMetadata): string | undefined {
  if (!value.isTensor) {
    return `output "${value.name}" of the model is a sequence or a map, which onnxruntime-node cannot read: convert the model so that it ends in tensors (scikit-learn: to_onnx with options={'zipmap': False})`;
  }
  return datatypeOf(value.type) ? undefined : `output ${unservedType(value.name, value.type)}`;
}

function unservedType(name: string, type: string): string {
  return `"${name}" of the model has type ${type}, which is not served: export the model with a Cast to one of ${datatypes.join(', ')} there`;
}

/** ONNX's numbers of element types that onnxruntime-node has no arrays for. */
const foreignTypes: Readonly<Record<string, string>> = {
  14: 'COMPLEX64',
  15: 'COMPLEX128',
  16: 'BF16',
  17: 'FLOAT8E4M3FN',
  18: 'FLOAT8E4M3FNUZ',
  19: 'FLOAT8E5M2',
  20: 'FLOAT8E5M2FNUZ',
};

/** Why the library did not load a model, with the remedy where its own message has none. */
export function loadReason(error: unknown): string {
  const message = messageOf(error);
  const number = /^Unsupported data type: (\d+)$/.exec(message)?.[1];
  if (number === undefined) return message;
  return `an input or output of the model has type ${foreignTypes[number] ?? `number ${number} of ONNX`}, which onnxruntime-node cannot exchange: export the model with FP32 inputs and outputs (a Cast at each end; the weights may stay as they are)`;
}

export function toOnnx(tensor: Tensor): ort.Tensor {
  if (tensor.datatype === 'BYTES') {
    const strings = tensor.data as string[];
    refuseCutStrings(tensor.name, strings);
    return new ort.Tensor('string', strings, tensor.shape);
  }
  if (tensor.datatype === 'FP16') return halfFloats(tensor);
  return new ort.Tensor(typeNames[tensor.datatype], tensor.data as ort.Tensor['data'], tensor.shape);
}

/**
 * The binding takes half floats as Uint16Array on every Node. But where the runtime has a Float16Array
 * (Node 24), the library's Tensor makes one of it, in which the binding sees no bytes: so the tensor is
 * made as what it holds, and then called what it is.
 */
function halfFloats({ data, shape }: Tensor): ort.Tensor {
  const tensor = new ort.Tensor('uint16', data as Uint16Array, shape);
  Object.defineProperty(tensor, 'type', { value: typeNames.FP16, enumerable: true });
  return tensor;
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
