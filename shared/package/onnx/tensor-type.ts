/** TypeProto: what an input or output of a graph is, named as the Open Inference Protocol names it. */
import { type Field, MalformedError, type ProtobufCursor } from './protobuf-cursor.js';

export interface TensorDescription {
  readonly name: string;
  /** For example FP32; `sequence(FP32)`, `map(INT64,FP32)`, `optional(FP32)`, `sparse(FP32)` for what is no tensor. */
  readonly datatype: string;
  /** A free dimension is its name, or -1 when it has none; `['...']` when even the rank is free. */
  readonly shape: (number | string)[];
}

/** TensorProto.DataType. The first seventeen that the protocol has go by its names, the others by ONNX's. */
const datatypes = [
  'UNDEFINED',
  'FP32',
  'UINT8',
  'INT8',
  'UINT16',
  'INT16',
  'INT32',
  'INT64',
  'BYTES',
  'BOOL',
  'FP16',
  'FP64',
  'UINT32',
  'UINT64',
  'COMPLEX64',
  'COMPLEX128',
  'BF16',
  'FLOAT8E4M3FN',
  'FLOAT8E4M3FNUZ',
  'FLOAT8E5M2',
  'FLOAT8E5M2FNUZ',
  'UINT4',
  'INT4',
  'FLOAT4E2M1',
  'FLOAT8E8M0',
  'UINT2',
  'INT2',
];

const maxDimensions = 256;
const maxTypeDepth = 8;
const maxNameBytes = 64 * 1024;

interface Type {
  datatype: string;
  shape: (number | string)[];
}

/** ValueInfoProto */
export async function readDescription(cursor: ProtobufCursor, at: Field): Promise<TensorDescription> {
  let name = '';
  let type: Type = { datatype: 'UNDEFINED', shape: [] };
  await cursor.eachField(at.start, at.end, async (field) => {
    if (field.number === 1) name = await cursor.text(message(field), maxNameBytes);
    else if (field.number === 2) type = await readType(cursor, message(field), 0);
  });
  return { name, ...type };
}

/** The field must hold a message, a text or bytes. */
export function message(field: Field): Field {
  if (field.kind !== 'bytes') {
    throw new MalformedError(`field ${String(field.number)} at byte ${String(field.start)} is a number, not a message`);
  }
  return field;
}

/** The field must hold an integer of at most 2^53. */
export function integer(field: Field): number {
  if (field.kind !== 'varint' || Number.isNaN(field.value)) {
    throw new MalformedError(`field ${String(field.number)} at byte ${String(field.start)} is no integer below 2^53`);
  }
  return field.value;
}

async function readType(cursor: ProtobufCursor, at: Field, depth: number): Promise<Type> {
  if (depth > maxTypeDepth) throw new MalformedError(`a type nested deeper than ${String(maxTypeDepth)} levels`);
  let type: Type = { datatype: 'UNDEFINED', shape: [] };
  await cursor.eachField(at.start, at.end, async (field) => {
    switch (field.number) {
      case 1:
        type = await readTensorType(cursor, message(field));
        break;
      case 4:
        type = wrap('sequence', await readElementType(cursor, message(field), 1, depth));
        break;
      case 5:
        type = await readMapType(cursor, message(field), depth);
        break;
      case 7:
        type = { datatype: 'OPAQUE', shape: [] };
        break;
      case 8: {
        const { datatype, shape } = await readTensorType(cursor, message(field));
        type = { datatype: `sparse(${datatype})`, shape };
        break;
      }
      case 9:
        type = wrap('optional', await readElementType(cursor, message(field), 1, depth));
        break;
    }
  });
  return type;
}

/** TypeProto.Tensor and TypeProto.SparseTensor */
async function readTensorType(cursor: ProtobufCursor, at: Field): Promise<Type> {
  let datatype = 'UNDEFINED';
  let shape: (number | string)[] = ['...'];
  await cursor.eachField(at.start, at.end, async (field) => {
    if (field.number === 1) datatype = datatypeName(integer(field));
    else if (field.number === 2) shape = await readShape(cursor, message(field));
  });
  return { datatype, shape };
}

/** TypeProto.Sequence, TypeProto.Optional and the value of TypeProto.Map: a type in a field. */
async function readElementType(cursor: ProtobufCursor, at: Field, number: number, depth: number): Promise<string> {
  let element = 'UNDEFINED';
  await cursor.eachField(at.start, at.end, async (field) => {
    if (field.number === number) element = (await readType(cursor, message(field), depth + 1)).datatype;
  });
  return element;
}

async function readMapType(cursor: ProtobufCursor, at: Field, depth: number): Promise<Type> {
  let key = 'UNDEFINED';
  await cursor.eachField(at.start, at.end, (field) => {
    if (field.number === 1) key = datatypeName(integer(field));
    return undefined;
  });
  return wrap('map', `${key},${await readElementType(cursor, at, 2, depth)}`);
}

async function readShape(cursor: ProtobufCursor, at: Field): Promise<(number | string)[]> {
  const shape: (number | string)[] = [];
  await cursor.eachField(at.start, at.end, async (field) => {
    if (field.number !== 1) return;
    if (shape.length >= maxDimensions) throw new MalformedError(`more than ${String(maxDimensions)} dimensions`);
    shape.push(await readDimension(cursor, message(field)));
  });
  return shape;
}

async function readDimension(cursor: ProtobufCursor, at: Field): Promise<number | string> {
  let dimension: number | string = -1;
  await cursor.eachField(at.start, at.end, async (field) => {
    if (field.number === 1) dimension = Math.max(-1, integer(field));
    else if (field.number === 2) {
      const name = await cursor.text(message(field), maxNameBytes);
      dimension = name === '' ? -1 : name;
    }
  });
  return dimension;
}

function wrap(kind: string, inner: string): Type {
  return { datatype: `${kind}(${inner})`, shape: [] };
}

function datatypeName(number: number): string {
  return datatypes[number] ?? `UNKNOWN_${String(number)}`;
}
