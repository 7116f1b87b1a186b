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

export interface StreamedBody {
  /** Called once for each attempt. */
  open(): Readable;
  readonly size: number;
}

export interface HttpRequest {
  readonly method: string;
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string | StreamedBody | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Silence after which the connection counts as lost; 0 waits for ever. */
  readonly idleMs: number;
}

export class HttpTransport {
  private readonly http = new HttpAgent({ keepAlive: true });
  private readonly https = new HttpsAgent({ keepAlive: true });

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
      if (typeof request.body !== 'object') {
        outgoing.on('response', resolve);
        outgoing.end(request.body);
        return;
      }
      const source = request.body.open();
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
  const length = typeof body === 'string' ? Buffer.byteLength(body) : body.size;
  return { 'content-length': String(length) };
}

/** What a failed connection means, and what the person before the screen can do about it. */
export function connectionError(error: unknown, url: URL, signal?: AbortSignal): AppError {
  if (error instanceof AppError) return error;
  if (signal?.aborted) {
    return new AppError('request.aborted', 'stopped before the server had answered', { cause: error });
  }
  return new AppError('server.unreachable', `${url.origin}: ${remedyFor(error)}`, { cause: error });
}

function remedyFor(error: unknown): string {
  const code = errno(error) ?? '';
  if (code === 'ECONNREFUSED' || nestedCodes(error).includes('ECONNREFUSED')) {
    return 'no control plane answers here (connection refused); start one with "flotilla cloud", or name another with "flotilla login <url>"';
  }
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN')
    return 'no machine of this name is known; check the spelling and DNS';
  if (/CERT|SELF_SIGNED|UNABLE_TO_|ERR_TLS/.test(code)) {
    return `the certificate is not trusted (${code}); put the authority's PEM file in NODE_EXTRA_CA_CERTS`;
  }
  if (code === 'EPROTO' || code.startsWith('HPE_')) {
    return `what answers here does not speak this protocol (${code}); check http or https, and the port`;
  }
  return `the connection was lost: ${messageOf(error)}; try again`;
}

/** Where a name has several addresses, Node gathers one error for each. */
function nestedCodes(error: unknown): (string | undefined)[] {
  return error instanceof AggregateError ? error.errors.map(errno) : [];
}
