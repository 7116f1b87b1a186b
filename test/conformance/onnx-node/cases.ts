/** The ONNX standard's node tests as `export-cases.py` writes them, and what counts as the same answer. */
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { halfToNumber } from '#shared/scoring/codec/half-float.js';
import { repository } from '#test/support/scoring-harness.js';

export interface CaseData {
  readonly shape: readonly number[];
  /** Little-endian and row-major, in base64; absent for strings. */
  readonly bytes?: string;
  readonly strings?: readonly string[];
}

export interface CaseValue {
  readonly name: string;
  /** `tensor`; a `sequence`, `optional` or `map` has no form in the protocol. */
  readonly kind: string;
  /** Element type as ONNX names it. */
  readonly type: string | null;
}

export interface NodeCase {
  readonly name: string;
  readonly operators: readonly string[];
  readonly relative: number;
  readonly absolute: number;
  readonly inputs: readonly CaseValue[];
  readonly outputs: readonly CaseValue[];
  readonly sets: readonly {
    readonly inputs: readonly (CaseData | null)[];
    readonly outputs: readonly (CaseData | null)[];
  }[];
}

export interface Verdict {
  readonly name: string;
  /** Why it failed; absent where it passed. */
  readonly failure?: string;
}

/** Element types that the protocol, and the runtime's binding, can carry. */
const datatypes = {
  BOOL: 'BOOL',
  UINT8: 'UINT8',
  UINT16: 'UINT16',
  UINT32: 'UINT32',
  UINT64: 'UINT64',
  INT8: 'INT8',
  INT16: 'INT16',
  INT32: 'INT32',
  INT64: 'INT64',
  FLOAT16: 'FP16',
  FLOAT: 'FP32',
  DOUBLE: 'FP64',
  STRING: 'BYTES',
} as const;
export type CaseDatatype = (typeof datatypes)[keyof typeof datatypes];

export function datatypeOf(value: CaseValue): CaseDatatype | undefined {
  return value.kind === 'tensor' ? datatypes[value.type as keyof typeof datatypes] : undefined;
}

export function rawBytes(data: CaseData): Buffer {
  return Buffer.from(data.bytes ?? '', 'base64');
}

/** @param folder empty, or absent: it is made */
export async function exportCases(python: string, folder: string): Promise<NodeCase[]> {
  await promisify(execFile)(python, [join(repository, 'test/conformance/onnx-node/export-cases.py'), folder]);
  return readCases(folder);
}

export async function readCases(folder: string): Promise<NodeCase[]> {
  const lines = (await readFile(join(folder, 'cases.jsonl'), 'utf8')).trimEnd().split('\n');
  return lines.map((line) => JSON.parse(line) as NodeCase);
}

export interface Answer {
  readonly shape: readonly number[];
  readonly bytes?: Buffer;
  readonly strings?: readonly string[];
}

/** What differs; undefined when nothing does. Floats agree as the standard's own runner has it. */
export function difference(test: NodeCase, output: CaseValue, expected: CaseData, got: Answer): string | undefined {
  if (JSON.stringify(expected.shape) !== JSON.stringify(got.shape)) {
    return `${output.name} has shape [${got.shape.join(',')}], expected [${expected.shape.join(',')}]`;
  }
  if (expected.strings) {
    const index = expected.strings.findIndex((text, at) => got.strings?.[at] !== text);
    return index < 0 ? undefined : `${output.name}[${String(index)}] is ${JSON.stringify(got.strings?.[index])}`;
  }
  const want = rawBytes(expected);
  const have = got.bytes ?? Buffer.alloc(0);
  if (want.length !== have.length) {
    return `${output.name} has ${String(have.length)} bytes, expected ${String(want.length)}`;
  }
  const read = floatReader(datatypeOf(output));
  if (!read) return want.equals(have) ? undefined : `${output.name} differs`;
  for (let at = 0; at < want.length; at += read.size) {
    const [a, b] = [read.at(want, at), read.at(have, at)];
    const agrees = Object.is(a, b) || a === b || Math.abs(a - b) <= test.absolute + test.relative * Math.abs(a);
    if (!agrees) return `${output.name}[${String(at / read.size)}] is ${String(b)}, expected ${String(a)}`;
  }
  return undefined;
}

interface FloatReader {
  readonly size: number;
  readonly at: (bytes: Buffer, offset: number) => number;
}

function floatReader(datatype: CaseDatatype | undefined): FloatReader | undefined {
  const readers: Partial<Record<CaseDatatype, FloatReader>> = {
    FP16: { size: 2, at: (bytes, offset) => halfToNumber(bytes.readUInt16LE(offset)) },
    FP32: { size: 4, at: (bytes, offset) => bytes.readFloatLE(offset) },
    FP64: { size: 8, at: (bytes, offset) => bytes.readDoubleLE(offset) },
  };
  return datatype && readers[datatype];
}
