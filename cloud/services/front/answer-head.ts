/**
 * The head of a replica's answer, read strictly: a replica may run anyone's code, and what cannot be read with certainty
 * is no answer. What is left of its fields can be given to a client as it is.
 */
import { connectionFields } from './connection-fields.js';

export type AnswerFraming =
  | { readonly kind: 'length'; readonly bytes: number }
  | { readonly kind: 'chunked' }
  /** To the end of the connection. */
  | { readonly kind: 'close' };

export interface AnswerHead {
  readonly status: number;
  readonly reason: string;
  /** For the client, names in lower case and values in turn; without what says how long the body is. */
  readonly fields: string[];
  readonly framing: AnswerFraming;
  /** As the field has it, of an answer without a body too (HEAD). */
  readonly declaredLength: number | undefined;
  /** The connection may carry another request. */
  readonly keepsAlive: boolean;
  /** How long it may be idle, where the replica says so. */
  readonly idleMs: number | undefined;
}

const statusLine = /^HTTP\/1\.([01]) ([1-9]\d\d)(?: ([\t\x20-\x7e\x80-\xff]*))?$/;
const field = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t\x20-\x7e\x80-\xff]*)$/;
/** Of one connection, ours to say, or a page's business. */
const dropped = new Set<string>([
  ...connectionFields,
  ...[
    'content-length',
    'date',
    'x-request-id',
    'azureml-model-deployment',
    'set-cookie',
    'proxy-authenticate',
    'www-authenticate',
  ],
]);

/**
 * @param text without the empty line at its end, bytes as Latin-1
 * @returns undefined for what is none
 */
export function readAnswerHead(text: string, method: string): AnswerHead | undefined {
  const [first = '', ...lines] = text.split('\r\n');
  const [, minor, code, reason = ''] = statusLine.exec(first) ?? [];
  if (code === undefined) return undefined;
  const status = Number(code);
  const fields: string[] = [];
  let length: number | undefined;
  let chunked = false;
  let connection = minor === '0' ? 'close' : '';
  let idleMs: number | undefined;
  for (const line of lines) {
    const match = field.exec(line);
    if (!match) return undefined;
    const name = (match[1] ?? '').toLowerCase();
    const value = (match[2] ?? '').trimEnd();
    if (!dropped.has(name)) {
      if (!name.startsWith('ms-azureml-')) fields.push(name, value);
    } else if (name === 'content-length') {
      if (!/^\d{1,15}$/.test(value) || (length !== undefined && length !== Number(value))) return undefined;
      length = Number(value);
    } else if (name === 'transfer-encoding') {
      if (chunked || value.toLowerCase() !== 'chunked') return undefined;
      chunked = true;
    } else if (name === 'connection') connection = value.toLowerCase();
    else if (name === 'keep-alive') idleMs = secondsIn(value);
  }
  if (chunked && length !== undefined) return undefined;
  const framing = framingOf(status, method, length, chunked);
  const keepsAlive = framing.kind !== 'close' && !/\bclose\b/.test(connection) && status !== 101;
  return { status, reason, fields, framing, declaredLength: length, keepsAlive, idleMs };
}

function framingOf(status: number, method: string, length: number | undefined, chunked: boolean): AnswerFraming {
  if (method === 'HEAD' || status < 200 || status === 204 || status === 304) return { kind: 'length', bytes: 0 };
  if (chunked) return { kind: 'chunked' };
  return length === undefined ? { kind: 'close' } : { kind: 'length', bytes: length };
}

function secondsIn(value: string): number | undefined {
  const seconds = /\btimeout=(\d{1,6})\b/.exec(value)?.[1];
  return seconds === undefined ? undefined : Number(seconds) * 1000;
}
