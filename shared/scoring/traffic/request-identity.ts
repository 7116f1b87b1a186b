/**
 * What makes two requests ask the same: all their bytes but the `id` that a client may number them with.
 * The id is told apart only where it is certain without parsing: first in a V2 request, plain, and nothing
 * else in the JSON that could be an id. Anywhere else it is part of what is asked, which costs hits and
 * never gives a wrong one.
 */
import { createHash } from 'node:crypto';
import type { BodyForm } from '../worker/worker-protocol.js';

export interface RequestIdentity {
  /** SHA-256: who could make two requests collide could choose what others are answered. */
  readonly key: string;
  /** To be put into an answer that was kept without it. */
  readonly id: string | undefined;
}

const leadingId = /^\s*\{\s*"id"\s*:\s*"([\x20\x21\x23-\x5b\x5d-\x7e]{1,256})"\s*,/;
/** Room for the longest id and what stands around it. */
const headBytes = 320;

export function identityOf(
  asked: {
    /** What answers: digest and version of the module, and how the body is read. */
    readonly digest: string;
    readonly name: string;
    readonly version: number;
    readonly form: BodyForm;
    readonly jsonLength: number | undefined;
  },
  body: Uint8Array<ArrayBuffer>,
): RequestIdentity {
  const { digest, name, version, form, jsonLength } = asked;
  const found = form === 'infer' ? idIn(body, jsonLength ?? body.length) : undefined;
  // Where the JSON ends, with or without the id.
  const end = jsonLength === undefined ? null : jsonLength - (found?.end ?? 0);
  const hash = createHash('sha256').update(
    `${JSON.stringify([digest, name, version, form, end, found !== undefined])}\n`,
  );
  hash.update(found ? body.subarray(found.end) : body);
  return { key: hash.digest('base64'), id: found?.id };
}

function idIn(
  body: Uint8Array<ArrayBuffer>,
  jsonLength: number,
): { readonly id: string; readonly end: number } | undefined {
  const json = Buffer.from(body.buffer, body.byteOffset, Math.min(jsonLength, body.length));
  const match = leadingId.exec(json.toString('latin1', 0, headBytes));
  const id = match?.[1];
  if (!match || id === undefined) return undefined;
  const end = match[0].length;
  // A second id would be the one that counts; an escape may spell one.
  if (json.indexOf('"id"', end) >= 0 || json.indexOf('\\u', end) >= 0) return undefined;
  return { id, end };
}
