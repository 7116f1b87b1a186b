/**
 * The head by which a replica is asked, made of what the client sent. How a body is framed is said by us, from what our
 * own parser made of it; what concerns the client and us alone, and what only we may say, does not go on.
 */
import { connectionFields } from './connection-fields.js';

export type Framing =
  | { readonly kind: 'none' }
  | { readonly kind: 'length'; readonly bytes: number }
  | { readonly kind: 'chunked' };

export interface AskedOfReplica {
  readonly method: string;
  readonly target: string;
  /** Names and values in turn, as they came. */
  readonly rawHeaders: readonly string[];
  readonly requestId: string;
  readonly framing: Framing;
}

const kept = new Set<string>([
  ...connectionFields,
  ...['http2-settings', 'host', 'content-length', 'expect'],
  // Secrets of the caller, which a model's script must not see: cookies are those of all ports of a machine.
  ...['authorization', 'proxy-authorization', 'cookie'],
  // A page's, judged here: the replica would hold them against another host.
  ...['origin', 'referer', 'access-control-request-method', 'access-control-request-headers'],
  // On a replica it would name a version of the model.
  'azureml-model-deployment',
  'x-request-id',
]);
const unprintable = /[^\t\x20-\x7e\x80-\xff]/;

/** @returns undefined for a header that cannot be passed on as it is */
export function headForReplica({ method, target, rawHeaders, requestId, framing }: AskedOfReplica): string | undefined {
  let head = `${method} ${target} HTTP/1.1\r\nhost: localhost\r\nx-request-id: ${requestId}\r\n`;
  const alsoKept = namedByConnection(rawHeaders);
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = (rawHeaders[index] ?? '').toLowerCase();
    const value = rawHeaders[index + 1] ?? '';
    if (kept.has(name) || name.startsWith('ms-azureml-') || name.startsWith('sec-fetch-')) continue;
    if (alsoKept.length > 0 && alsoKept.includes(name)) continue;
    if (unprintable.test(value)) return undefined;
    head += `${name}: ${value}\r\n`;
  }
  if (framing.kind === 'length') head += `content-length: ${String(framing.bytes)}\r\n`;
  if (framing.kind === 'chunked') head += 'transfer-encoding: chunked\r\n';
  return `${head}\r\n`;
}

const none: readonly string[] = [];

/** Fields that the client says are of its connection alone; most say no more than `keep-alive`. */
function namedByConnection(rawHeaders: readonly string[]): readonly string[] {
  let named = none;
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = rawHeaders[index] ?? '';
    if (name.length !== 'connection'.length || name.toLowerCase() !== 'connection') continue;
    const value = (rawHeaders[index + 1] ?? '').toLowerCase();
    if (value !== 'keep-alive' && value !== 'close') named = [...named, ...value.split(',').map((each) => each.trim())];
  }
  return named;
}
