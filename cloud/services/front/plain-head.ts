/**
 * The head of a request that is plain beyond doubt. The grammar is a small part of HTTP/1.1 that every server reads in one
 * way; what is not of it is not judged here but left to Node's parser, from its first byte (decision 0049).
 */
import type { IncomingHttpHeaders } from 'node:http';

export interface PlainHead {
  readonly method: 'GET' | 'POST';
  readonly url: string;
  /** Those of {@link told} alone. */
  readonly headers: IncomingHttpHeaders;
  /** All: names and values in turn, as they came. */
  readonly rawHeaders: readonly string[];
  /** Bytes of the body. */
  readonly length: number;
  readonly keepsAlive: boolean;
}

/** Longer heads are not read here; Node's parser takes 15 KiB. */
export const maxPlainHeadBytes = 8 * 1024;
const maxFields = 64;

const requestLine = /^(GET|POST) (\/[A-Za-z0-9._~:@!$&'()*+,;=/?%-]*) HTTP\/1\.1$/;
/** One space, and a value that neither begins nor ends with one. */
const field = /^([A-Za-z0-9-]+): ([!-~](?:[ -~]*[!-~])?)$/;
const length = /^(?:0|[1-9][0-9]{0,8})$/;

/** What the front looks at: two of one name could be understood in two ways. */
const told = new Set([
  ...['host', 'content-length', 'connection', 'authorization', 'origin', 'sec-fetch-site'],
  ...['x-request-id', 'azureml-model-deployment', 'content-type'],
]);
/** Of these the meaning is Node's to say. */
const foreign = new Set([
  ...['transfer-encoding', 'expect', 'upgrade', 'te', 'trailer', 'keep-alive', 'proxy-connection', 'http2-settings'],
]);

/**
 * @param text bytes as Latin-1, without the empty line at its end
 * @returns undefined for what is not plain
 */
export function readPlainHead(text: string): PlainHead | undefined {
  const [first = '', ...lines] = text.split('\r\n', maxFields + 2);
  const asked = requestLine.exec(first);
  if (!asked || lines.length > maxFields) return undefined;
  const headers: Record<string, string> = {};
  const rawHeaders: string[] = [];
  for (const line of lines) {
    const match = field.exec(line);
    if (!match) return undefined;
    const [, name = '', value = ''] = match;
    const lower = name.toLowerCase();
    if (told.has(lower)) {
      if (headers[lower] !== undefined) return undefined;
      headers[lower] = value;
    } else if (foreign.has(lower)) return undefined;
    rawHeaders.push(name, value);
  }
  const method = asked[1] === 'POST' ? 'POST' : 'GET';
  const declared = headers['content-length'];
  const connection = headers['connection']?.toLowerCase() ?? 'keep-alive';
  if (headers['host'] === undefined || (connection !== 'keep-alive' && connection !== 'close')) return undefined;
  // A body where none is usual, or none where one is, is for Node to understand.
  if ((declared === undefined) !== (method === 'GET') || (declared !== undefined && !length.test(declared))) {
    return undefined;
  }
  return {
    ...{ method, url: asked[2] ?? '/', headers, rawHeaders },
    ...{ length: Number(declared ?? 0), keepsAlive: connection === 'keep-alive' },
  };
}
