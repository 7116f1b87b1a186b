/** JSON from outside: parsed once, and a second time exactly where 64-bit integers need it. */
import { messageOf } from '#shared/kernel/errors.js';
import { invalidInput } from './invalid-input.js';

const decoder = new TextDecoder('utf-8', { fatal: true });

export interface JsonText {
  readonly value: unknown;
  /**
   * The same value, its integers of 16 and more digits as strings: a double does not hold them.
   * Parsed when first asked for.
   */
  exact(): unknown;
}

/** @throws AppError `score.invalid-input` */
export function parseJsonText(bytes: Uint8Array): JsonText {
  let text: string;
  try {
    text = decoder.decode(bytes);
  } catch (error) {
    throw invalidInput(`the body is not UTF-8 text: ${messageOf(error)}`);
  }
  if (text.trim() === '') throw invalidInput('the body is empty: send a JSON object');
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    if (hasNonFinite(text)) {
      throw invalidInput('the body is not JSON: JSON has no NaN or Infinity; send such values as binary tensor data');
    }
    throw invalidInput(`the body is not JSON: ${messageOf(error)}`);
  }
  let exact: { readonly value: unknown } | undefined;
  return {
    value,
    exact: () => {
      exact ??= { value: JSON.parse(quoteLongIntegers(text)) as unknown };
      return exact.value;
    },
  };
}

/** What lies at the path inside; undefined where there is nothing. */
export function partOf(json: JsonText, ...path: readonly (string | number)[]): JsonText {
  const walk = (value: unknown): unknown =>
    path.reduce<unknown>(
      (at, key) =>
        typeof at === 'object' && at !== null && Object.hasOwn(at, key)
          ? (at as Record<string | number, unknown>)[key]
          : undefined,
      value,
    );
  return { value: walk(json.value), exact: () => walk(json.exact()) };
}

/** Whether a bare NaN or Infinity stands where a value could. */
function hasNonFinite(text: string): boolean {
  return /(?:^|[[,:\s-])(?:NaN|Infinity|nan|inf)(?=[\],}\s]|$)/.test(text);
}

const quote = 0x22;
const backslash = 0x5c;

/** Valid JSON in, valid JSON out: integers of 16 and more digits become strings. */
export function quoteLongIntegers(text: string): string {
  const pieces: string[] = [];
  let copied = 0;
  let at = 0;
  while (at < text.length) {
    const code = text.charCodeAt(at);
    if (code === quote) {
      at = afterString(text, at);
    } else if (isNumberPart(code)) {
      const start = at;
      while (at < text.length && isNumberPart(text.charCodeAt(at))) at++;
      const token = text.slice(start, at);
      if (/^-?\d{16,}$/.test(token)) {
        pieces.push(text.slice(copied, start), `"${token}"`);
        copied = at;
      }
    } else {
      at++;
    }
  }
  pieces.push(text.slice(copied));
  return pieces.join('');
}

function afterString(text: string, start: number): number {
  let at = start + 1;
  while (at < text.length) {
    const code = text.charCodeAt(at);
    if (code === quote) return at + 1;
    at += code === backslash ? 2 : 1;
  }
  return at;
}

/** Digits, sign, point; the `e` of an exponent also stands in `true`, which is no harm. */
function isNumberPart(code: number): boolean {
  return (code >= 0x30 && code <= 0x39) || code === 0x2d || code === 0x2b || code === 0x2e || (code | 0x20) === 0x65;
}
