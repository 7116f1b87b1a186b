/** The buckets of a sketch between their wire form and numbers: base64 of varints, pairs of (bucket difference, count). */

/** Ascending buckets, each followed by its count. */
export type BucketPairs = readonly number[];

const none = 255;
const sextets = new Uint8Array(128).fill(none);
for (const [value, character] of [...'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'].entries()) {
  sextets[character.charCodeAt(0)] = value;
}
/** A number has eight bytes at most. */
const longest = 2 ** 49;

/** Undefined where it is no such text, a bucket comes twice, or one has no count. In one go: stores read many of them. */
export function readBuckets(text: string): BucketPairs | undefined {
  const length = lengthOf(text);
  if (length === undefined) return undefined;
  const pairs: number[] = [];
  let bits = 0;
  let held = 0;
  let value = 0;
  let power = 1;
  let bucket = 0;
  let isCount = false;
  for (let at = 0; at < length; at++) {
    const code = text.charCodeAt(at);
    const sextet = code < sextets.length ? (sextets[code] ?? none) : none;
    if (sextet === none) return undefined;
    bits = ((bits << 6) | sextet) & 0x3fff;
    held += 6;
    if (held < 8) continue;
    held -= 8;
    const byte = (bits >>> held) & 0xff;
    value += (byte & 0x7f) * power;
    if (byte >= 0x80) {
      power *= 0x80;
      if (power > longest) return undefined;
      continue;
    }
    if (isCount ? value === 0 : value === 0 && pairs.length > 0) return undefined;
    if (!isCount) bucket += value;
    pairs.push(isCount ? value : bucket);
    isCount = !isCount;
    value = 0;
    power = 1;
  }
  return isCount || power > 1 ? undefined : pairs;
}

/** Without its padding; undefined where no base64 is so long. */
function lengthOf(text: string): number | undefined {
  if (text.length % 4 !== 0) return undefined;
  return text.endsWith('==') ? text.length - 2 : text.endsWith('=') ? text.length - 1 : text.length;
}

export function writeBuckets(pairs: BucketPairs): string {
  const bytes: number[] = [];
  let last = 0;
  for (let at = 0; at < pairs.length; at += 2) {
    const bucket = pairs[at] ?? 0;
    writeVarint(bytes, bucket - last);
    writeVarint(bytes, pairs[at + 1] ?? 0);
    last = bucket;
  }
  return btoa(String.fromCharCode(...bytes));
}

function writeVarint(out: number[], value: number): void {
  let rest = value;
  while (rest >= 0x80) {
    out.push((rest % 0x80) | 0x80);
    rest = Math.floor(rest / 0x80);
  }
  out.push(rest);
}

/** What is in either, counts added. */
export function joinBuckets(one: BucketPairs, other: BucketPairs): BucketPairs {
  const joined: number[] = [];
  let a = 0;
  let b = 0;
  while (a < one.length && b < other.length) {
    const inOne = one[a] ?? 0;
    const inOther = other[b] ?? 0;
    let count = 0;
    if (inOne <= inOther) {
      count += one[a + 1] ?? 0;
      a += 2;
    }
    if (inOther <= inOne) {
      count += other[b + 1] ?? 0;
      b += 2;
    }
    joined.push(inOne <= inOther ? inOne : inOther, count);
  }
  for (; a < one.length; a++) joined.push(one[a] ?? 0);
  for (; b < other.length; b++) joined.push(other[b] ?? 0);
  return joined;
}
