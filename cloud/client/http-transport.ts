/**
 * One HTTP exchange over node:http: bodies stream both ways, silence is bounded, and every failure
 * of the connection becomes `server.unreachable` with what to do. Knows nothing of routes or tokens,
 * and puts no header into any message.
 */
import { Agent as HttpAgent, request as httpRequest, type IncomingMessage } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import type { Readable } from 'node:stream';
import { AppError, messageOf } from '#shared/kernel/errors.js';
import { errno } from '#shared/platform/atomic-file.js';
import type { ServerAuthority } from './server-authority.js';

export interface StreamedBody {
  /** Called once for each attempt. */
  open(): Readable;
  readonly size: number;
}

export interface HttpRequest {
  readonly method: string;
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array | StreamedBody | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Silence after which the connection counts as lost; 0 waits for ever. */
  readonly idleMs: number;
}

export class HttpTransport {
  private readonly http = new HttpAgent({ keepAlive: true });
  private readonly https: HttpsAgent;

  /** @param authority the only one that is believed, where it is given; otherwise those that Node believes */
  constructor(authority?: ServerAuthority) {
    this.https = new HttpsAgent({
      keepAlive: true,
      ...(authority ? { ca: authority.certificate } : {}),
      ...(authority?.serverName === undefined ? {} : { servername: authority.serverName }),
    });
  }

  /** Resolves when the head of the answer is there; its body is the caller's to read. */
  send(request: HttpRequest): Promise<IncomingMessage> {
    const secure = request.url.protocol === 'https:';
    return new Promise((resolve, reject) => {
      const options = {
        method: request.method,
        headers: { ...request.headers, ...lengthOf(request.body) },
        ...(request.signal === undefined ? {} : { signal: request.signal }),
      };
      const outgoing = secure
        ? httpsRequest(request.url, { ...options, agent: this.https })
        : httpRequest(request.url, { ...options, agent: this.http });
      outgoing.setTimeout(request.idleMs, () => {
        outgoing.destroy(new Error(`nothing was heard for ${String(request.idleMs / 1000)} s`));
      });
      outgoing.on('error', (error) => reject(connectionError(error, request.url, request.signal)));
      const { body } = request;
      if (body === undefined || typeof body === 'string' || body instanceof Uint8Array) {
        outgoing.on('response', resolve);
        outgoing.end(body);
        return;
      }
      const source = body.open();
      source.on('error', (error) => outgoing.destroy(error));
      outgoing.on('close', () => source.destroy());
      outgoing.on('response', (answer) => {
        // An answer before the end of the upload is a refusal: the rest is not sent, and the
        // connection, half used, is not kept.
        if (!source.readableEnded) {
          source.unpipe(outgoing);
          answer.once('close', () => outgoing.destroy());
        }
        resolve(answer);
      });
      source.pipe(outgoing);
    });
  }

  close(): void {
    this.http.destroy();
    this.https.destroy();
  }
}

function lengthOf(body: HttpRequest['body']): Record<string, string> {
  if (body === undefined) return {};
  const length = typeof body === 'string' || body instanceof Uint8Array ? Buffer.byteLength(body) : body.size;
  return { 'content-length': String(length) };
}

/** What a failed connection means, and what the person before the screen can do about it. */
export function connectionError(error: unknown, url: URL, signal?: AbortSignal): AppError {
  if (error instanceof AppError) return error;
  if (signal?.aborted) {
    return new AppError('request.aborted', 'stopped before the server had answered', { cause: error });
  }
  const code = errno(error) ?? '';
  if (/CERT|SELF_SIGNED|UNABLE_TO_/.test(code)) return untrusted(code, url, error);
  return new AppError('server.unreachable', `${url.origin}: ${remedyFor(error, url)}`, { cause: error });
}

/** What it shows, to be compared, is added by who asked. */
function untrusted(code: string, url: URL, cause: unknown): AppError {
  const message =
    code === 'ERR_TLS_CERT_ALTNAME_INVALID'
      ? `the certificate of ${url.origin} is for other names: add this one to serverNames on the control plane, or use a URL that it is for`
      : `the certificate of ${url.origin} is of no authority that is trusted here (${code})`;
  return new AppError('server.untrusted', message, { cause });
}

function remedyFor(error: unknown, url: URL): string {
  const code = errno(error) ?? '';
  if (code === 'ECONNREFUSED' || nestedCodes(error).includes('ECONNREFUSED')) {
    return 'no control plane answers here (connection refused); start one with "flotilla cloud", or name another with "flotilla login <url>"';
  }
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN')
    return 'no machine of this name is known; check the spelling and DNS';
  if (code === 'EPROTO' || code.startsWith('HPE_')) {
    return `what answers here does not speak this protocol (${code}); check http or https, and the port`;
  }
  if (code === 'ECONNRESET' && url.protocol === 'http:') {
    return 'the connection was ended at once: a control plane speaks https unless it was told otherwise; check the URL';
  }
  return `the connection was lost: ${messageOf(error)}; try again`;
}

/** Where a name has several addresses, Node gathers one error for each. */
function nestedCodes(error: unknown): (string | undefined)[] {
  return error instanceof AggregateError ? error.errors.map(errno) : [];
}
