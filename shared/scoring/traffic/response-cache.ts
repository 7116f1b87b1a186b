/** Answers of one version of one model, by what was asked: the least recently used go first. */
import type { EncodedResponse } from '../codec/infer-response.js';
import { concatenate } from '../codec/infer-request.js';
import type { RequestIdentity } from './request-identity.js';

/** What an entry costs beside its bytes, about. */
const entryBytes = 256;

export class ResponseCache {
  /** A map keeps the order of insertion: the first entry is the one that was not used for longest. */
  private readonly entries = new Map<string, EncodedResponse>();
  private heldBytes = 0;

  constructor(private readonly maxBytes: number) {}

  get({ key, id }: RequestIdentity): EncodedResponse | undefined {
    const entry = this.entries.get(key);
    if (!entry) return undefined;
    this.entries.delete(key);
    this.entries.set(key, entry);
    return id === undefined ? entry : withId(entry, id);
  }

  put({ key, id }: RequestIdentity, answer: EncodedResponse): void {
    // A copy: what the answer lies in may be larger, and is its receiver's.
    const kept = id === undefined ? { ...answer, body: answer.body.slice() } : withoutId(answer, id);
    if (!kept) return;
    const bytes = kept.body.length + entryBytes;
    if (bytes > this.maxBytes / 2) return;
    this.drop(key);
    this.entries.set(key, kept);
    this.heldBytes += bytes;
    for (const oldest of this.entries.keys()) {
      if (this.heldBytes <= this.maxBytes) break;
      this.drop(oldest);
    }
  }

  get bytes(): number {
    return this.heldBytes;
  }

  private drop(key: string): void {
    const entry = this.entries.get(key);
    if (!entry) return;
    this.entries.delete(key);
    this.heldBytes -= entry.body.length + entryBytes;
  }
}

function member(id: string): Uint8Array {
  return new TextEncoder().encode(`"id":${JSON.stringify(id)},`);
}

const open = new TextEncoder().encode('{');

function withId({ body, jsonLength }: EncodedResponse, id: string): EncodedResponse {
  const echoed = member(id);
  const answer = concatenate([open, echoed, body.subarray(1)]);
  return jsonLength === undefined ? { body: answer } : { body: answer, jsonLength: jsonLength + echoed.length };
}

/** Undefined where the answer does not begin as one with this id does: it is then not kept. */
function withoutId({ body, jsonLength }: EncodedResponse, id: string): EncodedResponse | undefined {
  const head = concatenate([open, member(id)]);
  if (Buffer.compare(body.subarray(0, head.length), head) !== 0) return undefined;
  const rest = concatenate([open, body.subarray(head.length)]);
  return jsonLength === undefined ? { body: rest } : { body: rest, jsonLength: jsonLength - (head.length - 1) };
}
