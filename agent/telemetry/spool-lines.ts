/**
 * How batches lie in a file of the spool: a line each, with a checksum in front. A torn or damaged line
 * costs itself and no other. Pure.
 *
 *     <crc32 of the rest> B <sequence> <age clock, seconds> <the message, JSON>
 *     <crc32 of the rest> D <sequence> <age clock, seconds> <the message that stands for what was dropped>
 *     <crc32 of the rest> A <bootId> <acknowledged up to> -
 */
import { crc32 } from 'node:zlib';

export interface BatchLine {
  readonly kind: 'batch' | 'dropped';
  readonly sequence: number;
  /** See agent/store/lived-time.ts. */
  readonly livedSeconds: number;
  /** Where the line stands in its file, its end mark included. */
  readonly offset: number;
  readonly length: number;
}

export interface AckLine {
  readonly kind: 'ack';
  readonly bootId: number;
  readonly upTo: number;
}

const letters = { batch: 'B', dropped: 'D' } as const;
const pattern = /^([0-9a-f]{8}) (([BDA]) (\d{1,16}) (\d{1,16}) (.*))$/s;
const newline = 0x0a;

export function encodeBatchLine(
  kind: 'batch' | 'dropped',
  sequence: number,
  livedSeconds: number,
  message: unknown,
): Buffer {
  return encode(`${letters[kind]} ${String(sequence)} ${String(livedSeconds)} ${JSON.stringify(message)}`);
}

export function encodeAckLine(bootId: number, upTo: number): Buffer {
  return encode(`A ${String(bootId)} ${String(upTo)} -`);
}

/** The message of one line; undefined when it is damaged. */
export function decodeMessageLine(line: Uint8Array): Readonly<Record<string, unknown>> | undefined {
  const parts = partsOf(line);
  if (parts === undefined) return undefined;
  try {
    const message: unknown = JSON.parse(parts.text);
    return typeof message === 'object' && message !== null ? (message as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

/** Every line that is whole, in the order of the file. */
export function scanLines(bytes: Uint8Array): (BatchLine | AckLine)[] {
  const found: (BatchLine | AckLine)[] = [];
  for (let start = 0; start < bytes.length; ) {
    const end = bytes.indexOf(newline, start);
    if (end < 0) break;
    const parts = partsOf(bytes.subarray(start, end + 1));
    if (parts?.letter === 'A') found.push({ kind: 'ack', bootId: parts.first, upTo: parts.second });
    else if (parts !== undefined) {
      found.push({
        kind: parts.letter === 'B' ? 'batch' : 'dropped',
        sequence: parts.first,
        livedSeconds: parts.second,
        offset: start,
        length: end + 1 - start,
      });
    }
    start = end + 1;
  }
  return found;
}

function encode(rest: string): Buffer {
  return Buffer.from(`${checksum(Buffer.from(rest))} ${rest}\n`);
}

function partsOf(line: Uint8Array): { letter: string; first: number; second: number; text: string } | undefined {
  if (line.length < 2) return undefined;
  const body = Buffer.from(line.buffer, line.byteOffset, line.length - 1);
  const match = pattern.exec(body.toString('utf8'));
  const [, crc, , letter = '', first, second, text = ''] = match ?? [];
  if (crc === undefined || checksum(body.subarray(9)) !== crc) return undefined;
  const numbers = [Number(first), Number(second)] as const;
  if (!numbers.every(Number.isSafeInteger)) return undefined;
  return { letter, first: numbers[0], second: numbers[1], text };
}

function checksum(bytes: Uint8Array): string {
  return crc32(bytes).toString(16).padStart(8, '0');
}
