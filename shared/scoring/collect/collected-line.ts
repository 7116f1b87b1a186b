/** Collected lines within their bound: what has no room stands as its size and digest. Pure. */
import { createHash } from 'node:crypto';
import type { CapturedTensor } from '../traffic/capture/captured-tensors.js';
import { type EventHead, eventLine } from '../traffic/capture/cloud-event.js';
import { redactJson } from './redact-json.js';

/** A body as far as it was kept. */
export interface CollectedBody {
  /** Of the whole. */
  readonly bytes: number;
  readonly digest: string;
  /** Undefined: it was too long to keep. */
  readonly text: Uint8Array | undefined;
}

/** @returns undefined where not even names and sizes have room */
export function tensorLine(head: EventHead, tensors: readonly CapturedTensor[], maxBytes: number): string | undefined {
  const line = eventLine(head, 'tensors', tensors);
  if (Buffer.byteLength(line) <= maxBytes) return line;
  const short = eventLine(head, 'tensors', tensors.map(byReference));
  return Buffer.byteLength(short) <= maxBytes ? short : undefined;
}

/** Small values stay: one that is left out says so, and has no digest. */
function byReference(tensor: CapturedTensor): CapturedTensor {
  if (tensor.data === undefined) return tensor;
  const { data, ...rest } = tensor;
  const text = JSON.stringify(data);
  if (text.length <= 64) return tensor;
  return { ...rest, dataref: { bytes: Buffer.byteLength(text), digest: digestOf(text) } };
}

/** JSON without what is to be left out; anything else, and what has no room, as its size. */
export function bodyLine(
  head: EventHead,
  body: CollectedBody,
  redact: ReadonlySet<string>,
  maxBytes: number,
): string | undefined {
  const json = jsonOf(body);
  if (json !== undefined) {
    const line = lineOf(head, json.value, redact);
    if (line !== undefined && Buffer.byteLength(line) <= maxBytes) return line;
  }
  // Where something is to be left out a digest would let it be guessed.
  const digest = redact.size > 0 ? {} : { digest: body.digest };
  const short = eventLine(head, 'bytes', { bytes: body.bytes, ...digest });
  return Buffer.byteLength(short) <= maxBytes ? short : undefined;
}

function lineOf(head: EventHead, value: unknown, redact: ReadonlySet<string>): string | undefined {
  try {
    return eventLine(head, 'json', redactJson(value, redact));
  } catch {
    // Nested too deep: it is never written as it came.
    return undefined;
  }
}

const utf8 = new TextDecoder('utf-8', { fatal: true });

function jsonOf({ text }: CollectedBody): { readonly value: unknown } | undefined {
  if (text === undefined) return undefined;
  try {
    return { value: JSON.parse(utf8.decode(text)) as unknown };
  } catch {
    return undefined;
  }
}

function digestOf(text: string): string {
  return `sha256:${createHash('sha256').update(text).digest('hex')}`;
}
