/**
 * What the front must know of a V2 request before a worker reads it: priority and timeout, from the
 * request's `parameters`. The tensors are never parsed: bytes that do not name one of the two cost a
 * search for a word, others one pass that skips over values.
 */
import { invalidInput, show } from './invalid-input.js';
import { isObject } from './infer-request.js';

export interface RequestHints {
  /** 1 is the highest; absent: the default, which is the lowest. */
  readonly priority?: number;
  /** From the arrival of the request; absent: none of its own. */
  readonly timeoutMs?: number;
}

const none: RequestHints = {};

/** Bytes of parameters that are looked at: what is longer is no request that anyone means. */
const longestParameters = 64 * 1024;

/**
 * Of parameters given twice the first count. Bytes that are no JSON give what could be seen of it: the
 * worker says what is wrong with them.
 *
 * @throws AppError `score.invalid-input` for a priority or a timeout that is none
 */
export function readRequestHints(json: Uint8Array): RequestHints {
  const bytes = Buffer.from(json.buffer, json.byteOffset, json.byteLength);
  // Both stand inside of it, and it inside of the JSON: one search for the common request that has none.
  if (!bytes.includes('"parameters"')) return none;
  if (!bytes.includes('"priority"') && !bytes.includes('"timeout"')) return none;
  const parameters = topLevelParameters(bytes);
  if (!parameters) return {};
  const priority = count(parameters, 'priority');
  const timeoutUs = count(parameters, 'timeout');
  return hints(priority, timeoutUs === undefined ? undefined : timeoutUs / 1000);
}

/**
 * The same from the headers that every face takes, where the request itself says nothing.
 *
 * @throws AppError `score.invalid-input`
 */
export function readHeaderHints(headers: Readonly<Record<string, string | string[] | undefined>>): RequestHints {
  return hints(countHeader(headers, 'flotilla-priority'), countHeader(headers, 'flotilla-timeout-ms'));
}

/** 0 asks for the default, as in the protocol. */
function hints(priority: number | undefined, timeoutMs: number | undefined): RequestHints {
  if (!priority && !timeoutMs) return none;
  return { ...(priority ? { priority } : {}), ...(timeoutMs ? { timeoutMs } : {}) };
}

function countHeader(
  headers: Readonly<Record<string, string | string[] | undefined>>,
  name: string,
): number | undefined {
  const value = headers[name];
  if (value === undefined) return undefined;
  if (typeof value !== 'string' || !/^\d{1,15}$/.test(value)) {
    throw invalidInput(`${name} must be an integer from 0, got ${show(value)}`);
  }
  return Number(value);
}

/** As the protocol's own server does: a number, or its digits as text. */
function count(parameters: Record<string, unknown>, name: string): number | undefined {
  const value = parameters[name];
  if (value === undefined) return undefined;
  const number = typeof value === 'string' && /^\d{1,15}$/.test(value) ? Number(value) : value;
  if (!Number.isSafeInteger(number) || (number as number) < 0) {
    throw invalidInput(`parameter ${name} of the request must be an integer from 0, got ${show(value)}`);
  }
  return number as number;
}

const quote = 0x22;
const backslash = 0x5c;
const openObject = 0x7b;
const openArray = 0x5b;
const closeObject = 0x7d;
const closeArray = 0x5d;
const colon = 0x3a;

function topLevelParameters(bytes: Buffer): Record<string, unknown> | undefined {
  const wanted = Buffer.from('"parameters"');
  let depth = 0;
  let at = 0;
  while (at < bytes.length) {
    const byte = bytes[at];
    if (byte === quote) {
      const end = afterString(bytes, at);
      const value = depth === 1 && bytes.subarray(at, end).equals(wanted) ? afterColon(bytes, end) : undefined;
      at = end;
      if (value !== undefined && bytes[value] === openObject) return parseObject(bytes, value);
      continue;
    }
    if (byte === openObject || byte === openArray) depth++;
    else if (byte === closeObject || byte === closeArray) depth--;
    at++;
  }
  return undefined;
}

function parseObject(bytes: Buffer, start: number): Record<string, unknown> | undefined {
  let depth = 0;
  let at = start;
  const limit = Math.min(bytes.length, start + longestParameters);
  while (at < limit) {
    const byte = bytes[at];
    if (byte === quote) {
      at = afterString(bytes, at);
      continue;
    }
    at++;
    if (byte === openObject || byte === openArray) depth++;
    else if ((byte === closeObject || byte === closeArray) && --depth === 0) break;
  }
  try {
    const value: unknown = JSON.parse(bytes.toString('utf8', start, at));
    return isObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

/** Where the value begins, if the string was a key. */
function afterColon(bytes: Buffer, start: number): number | undefined {
  const at = skipSpace(bytes, start);
  return bytes[at] === colon ? skipSpace(bytes, at + 1) : undefined;
}

function skipSpace(bytes: Buffer, start: number): number {
  let at = start;
  while (bytes[at] === 0x20 || bytes[at] === 0x09 || bytes[at] === 0x0a || bytes[at] === 0x0d) at++;
  return at;
}

function afterString(bytes: Buffer, start: number): number {
  let end = start;
  for (;;) {
    end = bytes.indexOf(quote, end + 1);
    if (end < 0) return bytes.length;
    let slashes = 0;
    while (bytes[end - 1 - slashes] === backslash) slashes++;
    if (slashes % 2 === 0) return end + 1;
  }
}
