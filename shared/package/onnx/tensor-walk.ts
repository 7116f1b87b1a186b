/**
 * Finds every TensorProto of a graph: initializers, sparse ones, attributes of nodes, and those of
 * subgraphs and functions. Of each it notes where its bytes are, in this file or beside it.
 */
import { relativePathSchema } from '#shared/protocol/primitives.js';
import { type Field, MalformedError, type ProtobufCursor } from './protobuf-cursor.js';
import { integer, message } from './tensor-type.js';

/** Tensors below this are not worth a chunk of their own. */
const minTensorBytes = 4096;

export interface TensorExtent {
  readonly name: string;
  readonly offset: number;
  readonly length: number;
}

export interface ExternalTensor {
  readonly file: string;
  readonly name: string;
  readonly offset: number;
  /** Absent: to the end of the file. */
  readonly length?: number;
}

const maxNameBytes = 64 * 1024;
const maxGraphDepth = 32;
const maxExternalTensors = 1024 * 1024;
const maxExternalFiles = 255;
const external = 1;

/** Message kinds that lead to tensors, and through which fields. */
const leads = {
  graph: { 1: 'node', 5: 'tensor', 15: 'sparse' },
  function: { 7: 'node', 11: 'attribute' },
  training: { 1: 'graph', 2: 'graph' },
  node: { 5: 'attribute' },
  attribute: { 5: 'tensor', 6: 'graph', 10: 'tensor', 11: 'graph', 22: 'sparse', 23: 'sparse' },
  sparse: { 1: 'tensor', 2: 'tensor' },
} as const satisfies Record<string, Record<number, string>>;
type Kind = keyof typeof leads;

export class TensorWalk {
  readonly extents: TensorExtent[] = [];
  readonly externals: ExternalTensor[] = [];
  readonly externalFiles = new Set<string>();

  constructor(private readonly cursor: ProtobufCursor) {}

  /** Walks a message of this kind and all that it leads to. */
  async walk(kind: Kind, at: Field, depth = 0): Promise<void> {
    if (depth > maxGraphDepth) throw new MalformedError(`graphs nested deeper than ${String(maxGraphDepth)} levels`);
    const next: Readonly<Record<number, Kind | 'tensor'>> = leads[kind];
    await this.cursor.eachField(at.start, at.end, (field) => {
      const found = next[field.number];
      if (found === undefined) return undefined;
      return this.enter(found, message(field), depth);
    });
  }

  /** What {@link walk} does with one field, for a caller that walks the fields itself. */
  async graphField(field: Field): Promise<{ readonly initializer?: string } | undefined> {
    const found = (leads.graph as Readonly<Record<number, Kind | 'tensor'>>)[field.number];
    if (found === undefined) return undefined;
    if (found === 'tensor') return { initializer: await this.tensor(message(field)) };
    await this.enter(found, message(field), 0);
    return undefined;
  }

  private async enter(kind: Kind | 'tensor', field: Field, depth: number): Promise<void> {
    if (kind === 'tensor') await this.tensor(field);
    else await this.walk(kind, field, kind === 'graph' ? depth + 1 : depth);
  }

  /** @returns the tensor's name */
  private async tensor(at: Field): Promise<string> {
    let name = '';
    let raw: Field | undefined;
    let location = 0;
    const entries = new Map<string, string>();
    await this.cursor.eachField(at.start, at.end, (field) => {
      switch (field.number) {
        case 8:
          return this.cursor.text(message(field), maxNameBytes).then((text) => {
            name = text;
          });
        case 9:
          raw = message(field);
          return undefined;
        case 13:
          return readEntry(this.cursor, message(field), maxNameBytes).then(([key, value]) => {
            if (entries.size < 16) entries.set(key, value);
          });
        case 14:
          location = integer(field);
          return undefined;
        default:
          return undefined;
      }
    });
    if (location === external) this.addExternal(name, entries);
    if (raw !== undefined && raw.end - raw.start >= minTensorBytes) {
      this.extents.push({ name, offset: raw.start, length: raw.end - raw.start });
    }
    return name;
  }

  private addExternal(name: string, entries: ReadonlyMap<string, string>): void {
    const file = entries.get('location');
    if (file === undefined)
      throw new MalformedError(`the tensor ${quote(name)} is in another file, which is not named`);
    const checked = relativePathSchema.safeParse(file);
    if (!checked.success) {
      throw new MalformedError(
        `the tensor ${quote(name)} is in the file ${quote(file)}, which ${checked.error.issues[0]?.message ?? 'is no relative path'}; save the model again with its data beside it`,
      );
    }
    if (this.externals.length >= maxExternalTensors) throw new MalformedError('too many tensors in other files');
    this.externalFiles.add(file);
    if (this.externalFiles.size > maxExternalFiles) {
      throw new MalformedError(`tensors in more than ${String(maxExternalFiles)} other files`);
    }
    const length = count(name, 'length', entries.get('length'));
    const extent = { file, name, offset: count(name, 'offset', entries.get('offset')) ?? 0 };
    this.externals.push(length === undefined ? extent : { ...extent, length });
  }
}

/** StringStringEntryProto */
export async function readEntry(
  cursor: ProtobufCursor,
  at: Field,
  maxValueBytes: number,
): Promise<[key: string, value: string]> {
  let key = '';
  let value = '';
  await cursor.eachField(at.start, at.end, async (field) => {
    if (field.number === 1) key = await cursor.text(message(field), maxNameBytes);
    else if (field.number === 2) {
      const length = field.end - field.start;
      value =
        length > maxValueBytes ? `(${String(length)} bytes)` : await cursor.textStart(message(field), maxValueBytes);
    }
  });
  return [key, value];
}

function count(tensor: string, what: string, text: string | undefined): number | undefined {
  if (text === undefined || text === '') return undefined;
  if (!/^[0-9]{1,15}$/.test(text)) throw new MalformedError(`the tensor ${quote(tensor)} has ${what} ${quote(text)}`);
  return Number(text);
}

export function quote(text: string): string {
  return JSON.stringify(text.length > 100 ? `${text.slice(0, 100)}…` : text);
}
