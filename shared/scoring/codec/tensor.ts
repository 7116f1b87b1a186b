/**
 * Tensors as every part of the scoring core holds them: name, datatype and shape of the Open Inference
 * Protocol, data row-major in a typed array (BOOL as 0 and 1, FP16 as its bits), BYTES as strings.
 */
export const datatypes = [
  'BOOL',
  'UINT8',
  'UINT16',
  'UINT32',
  'UINT64',
  'INT8',
  'INT16',
  'INT32',
  'INT64',
  'FP16',
  'FP32',
  'FP64',
  'BYTES',
] as const;
export type Datatype = (typeof datatypes)[number];
export type FixedDatatype = Exclude<Datatype, 'BYTES'>;

export type NumericData =
  | Uint8Array<ArrayBuffer>
  | Uint16Array<ArrayBuffer>
  | Uint32Array<ArrayBuffer>
  | BigUint64Array<ArrayBuffer>
  | Int8Array<ArrayBuffer>
  | Int16Array<ArrayBuffer>
  | Int32Array<ArrayBuffer>
  | BigInt64Array<ArrayBuffer>
  | Float32Array<ArrayBuffer>
  | Float64Array<ArrayBuffer>;

export type TensorData = NumericData | string[];

export interface Tensor {
  readonly name: string;
  readonly datatype: Datatype;
  readonly shape: readonly number[];
  readonly data: TensorData;
}

/** A tensor as the graph declares it; a free dimension stands as its name, or as ''. */
export interface TensorSignature {
  readonly name: string;
  readonly datatype: Datatype;
  readonly shape: readonly (number | string)[];
}

export interface ModelSignature {
  readonly inputs: readonly TensorSignature[];
  readonly outputs: readonly TensorSignature[];
  /** Outputs of the graph that are no tensors; the reason names the output, what it is, and the remedy. */
  readonly notServed?: readonly { readonly name: string; readonly reason: string }[];
}

interface NumericArray<T extends NumericData> {
  readonly BYTES_PER_ELEMENT: number;
  new (length: number): T;
  new (buffer: ArrayBuffer, offset: number, length: number): T;
}

const arrays: { readonly [D in FixedDatatype]: NumericArray<NumericData> } = {
  BOOL: Uint8Array,
  UINT8: Uint8Array,
  UINT16: Uint16Array,
  UINT32: Uint32Array,
  UINT64: BigUint64Array,
  INT8: Int8Array,
  INT16: Int16Array,
  INT32: Int32Array,
  INT64: BigInt64Array,
  FP16: Uint16Array,
  FP32: Float32Array,
  FP64: Float64Array,
};

/** Of the integers that a number holds exactly. */
export const integerRanges: { readonly [D in Datatype]?: readonly [number, number] } = {
  UINT8: [0, 0xff],
  UINT16: [0, 0xffff],
  UINT32: [0, 0xffff_ffff],
  INT8: [-0x80, 0x7f],
  INT16: [-0x8000, 0x7fff],
  INT32: [-0x8000_0000, 0x7fff_ffff],
};

export function isDatatype(text: unknown): text is Datatype {
  return datatypes.some((datatype) => datatype === text);
}

export function elementBytes(datatype: FixedDatatype): number {
  return arrays[datatype].BYTES_PER_ELEMENT;
}

export function allocate(datatype: FixedDatatype, elements: number): NumericData {
  return new arrays[datatype](elements);
}

/** The bytes as elements: in place where they are aligned, else copied once. */
export function viewElements(datatype: FixedDatatype, bytes: Uint8Array<ArrayBuffer>, elements: number): NumericData {
  const array = arrays[datatype];
  if (bytes.byteOffset % array.BYTES_PER_ELEMENT === 0) return new array(bytes.buffer, bytes.byteOffset, elements);
  // Not slice: that of a Buffer copies nothing.
  return new array(new Uint8Array(bytes).buffer, 0, elements);
}

export function bytesOf(data: NumericData): Uint8Array<ArrayBuffer> {
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}

/** 1 for a scalar; may be Infinity for an absurd shape, which then equals no count. */
export function elementCount(shape: readonly number[]): number {
  return shape.reduce((product, dimension) => product * dimension, 1);
}

/** `FP32 [batch,1,8,8]`, as error messages name a tensor; `?` is a free dimension without a name. */
export function formatType(datatype: string, shape: readonly (number | string)[]): string {
  return `${datatype} [${shape.map((dimension) => (dimension === '' ? '?' : String(dimension))).join(',')}]`;
}
