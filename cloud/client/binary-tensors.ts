/** Tensors of the Open Inference Protocol V2 as bytes after the JSON of a request, and of its answer. */
import * as z from 'zod';
import { AppError, messageOf } from '#shared/kernel/errors.js';
import { encodeInferRequest } from '#shared/scoring/codec/infer-request.js';
import { readInferResponse } from '#shared/scoring/codec/infer-response.js';
import { allocate, type Datatype, type FixedDatatype, type Tensor } from '#shared/scoring/codec/tensor.js';
import { checkCount } from './infer-tensors.js';

interface Arrays {
  /** 0 and 1. */
  readonly BOOL: Uint8Array<ArrayBuffer>;
  readonly UINT8: Uint8Array<ArrayBuffer>;
  readonly UINT16: Uint16Array<ArrayBuffer>;
  readonly UINT32: Uint32Array<ArrayBuffer>;
  readonly UINT64: BigUint64Array<ArrayBuffer>;
  readonly INT8: Int8Array<ArrayBuffer>;
  readonly INT16: Int16Array<ArrayBuffer>;
  readonly INT32: Int32Array<ArrayBuffer>;
  readonly INT64: BigInt64Array<ArrayBuffer>;
  /** Its bits. */
  readonly FP16: Uint16Array<ArrayBuffer>;
  readonly FP32: Float32Array<ArrayBuffer>;
  readonly FP64: Float64Array<ArrayBuffer>;
  readonly BYTES: string[];
}
/** What holds the elements of a datatype. */
export type ArrayOf<D extends Datatype> = Arrays[D];

/** `data` is row-major, as many elements as the sizes of `shape` multiplied; exact, 64-bit integers too. */
export type BinaryTensor = {
  [D in Datatype]: {
    readonly name: string;
    readonly datatype: D;
    readonly shape: readonly number[];
    readonly data: ArrayOf<D>;
  };
}[Datatype];

export interface BinaryAnswer {
  readonly outputs: readonly BinaryTensor[];
}

export interface BinaryRequest {
  readonly body: Uint8Array<ArrayBuffer>;
  /** For the header `inference-header-content-length`. */
  readonly jsonLength: number;
}

/** @throws AppError `score.invalid-input` that names the tensor */
export function encodeBinary(inputs: readonly BinaryTensor[], outputs?: readonly string[]): BinaryRequest {
  for (const { name, datatype, shape, data } of inputs) {
    checkCount(name, shape, data.length);
    const kind = datatype === 'BYTES' ? Array : arrayOf(datatype);
    if (!(data instanceof kind)) {
      throw new AppError(
        'score.invalid-input',
        `input ${name}: data of datatype ${datatype} must be an array of kind ${kind.name}`,
      );
    }
  }
  return encodeInferRequest(inputs, { outputs });
}

/**
 * @param header `inference-header-content-length` of the answer; undefined: it is all JSON
 * @throws AppError `server.incompatible`
 */
export function decodeBinary(model: string, body: Uint8Array<ArrayBuffer>, header: unknown): BinaryAnswer {
  try {
    const jsonLength = header === undefined ? undefined : z.stringFormat('length', /^\d{1,15}$/).parse(header);
    const outputs = readInferResponse(body, jsonLength === undefined ? undefined : Number(jsonLength));
    return { outputs: outputs.map((tensor: Tensor) => tensor as BinaryTensor) };
  } catch (cause) {
    const message = `${model} answered with what is no inference response (${messageOf(cause)})`;
    throw new AppError('server.incompatible', message, { cause });
  }
}

function arrayOf(datatype: FixedDatatype): { new (length: number): object; readonly name: string } {
  return allocate(datatype, 0).constructor as new (
    length: number,
  ) => object;
}
