/**
 * Message types as tables of fields, from which they are read and written. A field knows its number and
 * the words by which a .proto file declares it, so that a test can hold the tables against ours.
 * As in proto3, a field that is absent has its type's zero, and zeros are not written.
 */
import { ElementBytes, type ElementType } from './element-bytes.js';
import { ReadBudget, WireReader, wireTypes } from './wire-reader.js';
import { WireWriter } from './wire-writer.js';

export interface Field<T> {
  readonly number: number;
  /** As a .proto file has it: `string`, `repeated int64`, `map<string, InferParameter>`. */
  readonly declared: string;
  readonly zero: () => T;
  /** @returns the value with what comes next added; undefined where its wire type is not the field's */
  read(reader: WireReader, wireType: number, before: T): T | undefined;
  write(writer: WireWriter, value: T): void;
}

type Fields = Readonly<Record<string, Field<unknown>>>;
type ValueOf<F extends Fields> = { readonly [K in keyof F]: F[K] extends Field<infer T> ? T : never };

export interface MessageType<T> {
  readonly name: string;
  readonly fields: Fields;
  read(reader: WireReader): T;
  write(writer: WireWriter, value: Partial<T>): void;
}

export type MessageOf<M> = M extends MessageType<infer T> ? T : never;

export function message<F extends Fields>(name: string, fields: F): MessageType<ValueOf<F>> {
  const byNumber = new Map(Object.entries(fields).map(([key, field]) => [field.number, { key, field }]));
  const entries = Object.entries<Field<unknown>>(fields);
  return {
    name,
    fields,
    read(reader) {
      const value: Record<string, unknown> = {};
      for (const [key, field] of entries) value[key] = field.zero();
      while (!reader.ended) {
        const tag = reader.uint32();
        const known = byNumber.get(tag >>> 3);
        const start = reader.at;
        const read = known?.field.read(reader, tag & 7, value[known.key]);
        if (known && read !== undefined) value[known.key] = read;
        else {
          reader.at = start;
          reader.skip(tag & 7);
        }
      }
      return value as ValueOf<F>;
    },
    write(writer, value) {
      for (const [key, field] of entries) {
        const part = (value as Readonly<Record<string, unknown>>)[key];
        if (part !== undefined) field.write(writer, part);
      }
    },
  };
}

/**
 * @param maxBytes what decoded numbers may take
 * @throws AppError `score.invalid-input`, `request.too-large`
 */
export function decode<T>(type: MessageType<T>, bytes: Uint8Array, maxBytes: number): T {
  return type.read(new WireReader(bytes, new ReadBudget(maxBytes)));
}

export function encode<T>(type: MessageType<T>, value: Partial<T>): Buffer {
  const writer = new WireWriter();
  type.write(writer, value);
  return writer.finish();
}

export const text = (number: number): Field<string> => ({
  number,
  declared: 'string',
  zero: () => '',
  read: (reader, wire) => (wire === wireTypes.bytes ? reader.text() : undefined),
  write: (writer, value) => {
    if (value !== '') writer.text(number, value);
  },
});

export const flag = (number: number): Field<boolean> => ({
  number,
  declared: 'bool',
  zero: () => false,
  read: (reader, wire) => (wire === wireTypes.varint ? reader.bool() : undefined),
  write: (writer, value) => {
    if (value) writeVarint(writer, number, 1);
  },
});

/** Integers that a double holds. */
export const integer = (number: number, declared: string): Field<number> => ({
  number,
  declared,
  zero: () => 0,
  read: (reader, wire) => (wire === wireTypes.varint ? reader.int64() : undefined),
  write: (writer, value) => {
    if (value !== 0) writeVarint(writer, number, value);
  },
});

export const dimensions = (number: number): Field<readonly number[]> => ({
  number,
  declared: 'repeated int64',
  zero: () => [],
  read: (reader, wire, before) => {
    const next = (from: WireReader): number => {
      from.budget.item();
      return from.int64();
    };
    // Ours alone, since `zero` made it: a copy for each item would take the square of their number.
    const read = before as number[];
    if (wire === wireTypes.varint) read.push(next(reader));
    else if (wire === wireTypes.bytes) for (const inner = reader.inner(); !inner.ended; ) read.push(next(inner));
    else return undefined;
    return read;
  },
  write: (writer, value) => {
    if (value.length === 0) return;
    const inner = new WireWriter();
    for (const dimension of value) inner.int64(dimension);
    writer.inner(number, inner);
  },
});

/** One of a `oneof`: present or not, whatever its value. */
export function choice<T>(
  number: number,
  declared: string,
  wireType: number,
  read: (reader: WireReader) => T,
): Field<T | undefined> {
  return {
    number,
    declared,
    zero: () => undefined,
    read: (reader, wire) => (wire === wireType ? read(reader) : undefined),
    write: (writer, value) => {
      if (typeof value === 'string') writer.text(number, value);
      else if (typeof value === 'number') {
        writer.tag(number, wireTypes.fixed64);
        writer.double(value);
      } else if (typeof value === 'bigint' || typeof value === 'boolean') {
        writer.tag(number, wireTypes.varint);
        writer.bigInt64(BigInt(value));
      }
    },
  };
}

function list<T>(
  number: number,
  type: string,
  next: (reader: WireReader) => T,
  put: (writer: WireWriter, item: T) => void,
): Field<readonly T[]> {
  return {
    number,
    declared: `repeated ${type}`,
    zero: () => [],
    read: (reader, wire, before) => {
      if (wire !== wireTypes.bytes) return undefined;
      reader.budget.item();
      (before as T[]).push(next(reader));
      return before;
    },
    write: (writer, value) => {
      for (const item of value) put(writer, item);
    },
  };
}

export const texts = (number: number): Field<readonly string[]> =>
  list(
    number,
    'string',
    (reader) => reader.text(),
    (writer, item) => writer.text(number, item),
  );

export const blobs = (number: number): Field<readonly Uint8Array[]> =>
  list(
    number,
    'bytes',
    (reader) => reader.blob(),
    (writer, item) => writer.blob(number, item),
  );

export const parts = <T>(number: number, type: MessageType<T>): Field<readonly Partial<T>[]> =>
  list<Partial<T>>(
    number,
    type.name,
    (reader) => type.read(reader.inner()),
    (writer, item) => writeInner(writer, number, type, item),
  );

export const part = <T>(number: number, type: MessageType<T>): Field<Partial<T> | undefined> => ({
  number,
  declared: type.name,
  zero: () => undefined,
  read: (reader, wire) => (wire === wireTypes.bytes ? type.read(reader.inner()) : undefined),
  write: (writer, value) => {
    if (value) writeInner(writer, number, type, value);
  },
});

/** `map<string, …>`: on the wire a repeated message of key and value. */
export function table<T>(number: number, type: MessageType<T>): Field<ReadonlyMap<string, Partial<T>>> {
  const entry = message('', { key: text(1), value: part(2, type) });
  return {
    number,
    declared: `map<string, ${type.name}>`,
    zero: () => new Map(),
    read: (reader, wire, before) => {
      if (wire !== wireTypes.bytes) return undefined;
      reader.budget.item();
      const { key, value } = entry.read(reader.inner());
      return (before as Map<string, Partial<T>>).set(key, value ?? {});
    },
    write: (writer, value) => {
      for (const [key, item] of value) writeInner(writer, number, entry, { key, value: item });
    },
  };
}

/** Numbers or byte strings of a tensor, as the bytes that the binary tensor extension has for them. */
export const elements = (number: number, type: ElementType): Field<ElementBytes | undefined> => ({
  number,
  declared: `repeated ${type}`,
  zero: () => undefined,
  read: (reader, wire, before) => (before ?? new ElementBytes(type)).read(reader, wire),
  write: () => {
    throw new Error('answers carry raw contents alone');
  },
});

function writeVarint(writer: WireWriter, number: number, value: number): void {
  writer.tag(number, wireTypes.varint);
  writer.int64(value);
}

function writeInner<T>(writer: WireWriter, number: number, type: MessageType<T>, value: Partial<T>): void {
  const inner = new WireWriter();
  type.write(inner, value);
  writer.inner(number, inner);
}
