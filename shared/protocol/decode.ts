/**
 * From bytes to a message: size first, then UTF-8, JSON and schema. Never throws; the error says
 * what was wrong and where, and quotes nothing of the input but key names.
 */
import type * as z from 'zod';
import type { ErrorCode } from '#shared/kernel/errors.js';
import { err, ok, type Result } from '#shared/kernel/result.js';

export const maxMessageBytes = 128 * 1024;
/** Deeper JSON is refused before it is parsed: parsers and schemas recurse. */
export const maxJsonDepth = 64;

export interface DecodeError {
  readonly code: Extract<ErrorCode, 'message.too-large' | 'message.malformed'>;
  readonly message: string;
}

const maxIssueLength = 300;

const utf8 = new TextDecoder('utf-8', { fatal: true });

export function decodeJson(bytes: Uint8Array, maxBytes = maxMessageBytes): Result<unknown, DecodeError> {
  if (bytes.length > maxBytes) {
    return err({
      code: 'message.too-large',
      message: `${String(bytes.length)} bytes, at most ${String(maxBytes)} are allowed`,
    });
  }
  if (depthOf(bytes) > maxJsonDepth) {
    return err({ code: 'message.malformed', message: `nested deeper than ${String(maxJsonDepth)} levels` });
  }
  let text: string;
  try {
    text = utf8.decode(bytes);
  } catch {
    return err({ code: 'message.malformed', message: 'not UTF-8' });
  }
  try {
    return ok(JSON.parse(text) as unknown);
  } catch (error) {
    return err({ code: 'message.malformed', message: `not JSON${placeOf(error)}` });
  }
}

export function decodeMessage<S extends z.ZodType>(
  schema: S,
  bytes: Uint8Array,
  maxBytes = maxMessageBytes,
): Result<z.output<S>, DecodeError> {
  const json = decodeJson(bytes, maxBytes);
  return json.ok ? checkMessage(schema, json.value) : json;
}

export function checkMessage<S extends z.ZodType>(schema: S, value: unknown): Result<z.output<S>, DecodeError> {
  const parsed = schema.safeParse(value);
  return parsed.success ? ok(parsed.data) : err({ code: 'message.malformed', message: describeIssues(parsed.error) });
}

export function encodeMessage(message: unknown): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(message));
}

/** The first few complaints of a schema, each with the path of the field. */
export function describeIssues(error: z.ZodError): string {
  const shown = error.issues.slice(0, 3).map((issue) => {
    const path = issue.path.map(String).join('.');
    return shortened(path === '' ? issue.message : `${path}: ${issue.message}`);
  });
  const more = error.issues.length - shown.length;
  return more > 0 ? `${shown.join('; ')}; and ${String(more)} more` : shown.join('; ');
}

/** The depth of brackets outside strings; an upper bound that needs no parse. */
function depthOf(bytes: Uint8Array): number {
  let depth = 0;
  let deepest = 0;
  let inString = false;
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i];
    if (inString) {
      if (byte === 0x5c) i++;
      else if (byte === 0x22) inString = false;
    } else if (byte === 0x22) inString = true;
    else if (byte === 0x7b || byte === 0x5b) deepest = Math.max(deepest, ++depth);
    else if (byte === 0x7d || byte === 0x5d) depth--;
  }
  return deepest;
}

/** The parser's own words quote the input, which may hold a secret; the position is enough. */
function placeOf(error: unknown): string {
  const place = error instanceof Error ? /at position \d+/.exec(error.message) : null;
  return place === null ? '' : `: syntax error ${place[0]}`;
}

/** Key names are the sender's, and so is their length. */
function shortened(text: string): string {
  return text.length <= maxIssueLength ? text : `${text.slice(0, maxIssueLength)}…`;
}
