/**
 * The typed client: one generic call over the route table, pages, streams and live events.
 * Only what is safe to repeat is repeated (GET, HEAD, and PUT of a blob, which names its content),
 * and only when the connection failed. Every other failure is the server's AppError, code and all.
 */
import type { IncomingMessage } from 'node:http';
import * as z from 'zod';
import { backoffMs } from '#shared/kernel/backoff.js';
import type { Clock } from '#shared/kernel/clock.js';
import { AppError } from '#shared/kernel/errors.js';
import { readBounded } from '#shared/platform/bounded-body.js';
import type { Random } from '#shared/kernel/ids.js';
import { checkMessage, describeIssues } from '#shared/protocol/decode.js';
import {
  operations,
  type Operation,
  type OperationArguments,
  type OperationResult,
} from '#shared/protocol/commands.js';
import { connectionError, HttpTransport, type StreamedBody } from './http-transport.js';
import type { ServerAuthority } from './server-authority.js';
import { problemFrom } from './problem-response.js';
import { fillPath, routes, type Answer, type CallInput, type Route } from './routes.js';
import { type ScoreAnswer, scoreEndpoint, type ScoreRequest } from './score-endpoint.js';
import { readServerSentEvents } from './sse-reader.js';

export interface ClientOptions {
  readonly url: URL;
  readonly token: string | undefined;
  readonly workspace: string;
  /** The only one that is believed of the server, where it is given. */
  readonly authority?: ServerAuthority | undefined;
  readonly userAgent: string;
  readonly clock: Clock;
  readonly random: Random;
  /** Ends every call that is under way. */
  readonly signal: AbortSignal;
}

const liveEventData = z.object({ subject: z.string(), data: z.unknown() });

export interface LiveEvent {
  /** For example device.changed. */
  readonly type: string;
  /** The thing that changed: a device's name, an activity's id. */
  readonly subject: string;
  readonly data: unknown;
}

type ListRoute = Route & { readonly response: z.ZodType<{ items: unknown[]; next?: string | undefined }> };

interface AnyInput {
  readonly params?: Readonly<Record<string, string>> | undefined;
  readonly query?: unknown;
  readonly body?: unknown;
}

const attempts = 3;
const retryPolicy = { baseMs: 100, maxMs: 1000 };
const idleMs = 60_000;
const maxAnswerBytes = 32 * 1024 * 1024;

export class FlotillaClient {
  private readonly transport: HttpTransport;
  private readonly root: string;

  constructor(private readonly options: ClientOptions) {
    this.transport = new HttpTransport(options.authority);
    this.root = options.url.href.replace(/\/+$/, '');
  }

  get workspace(): string {
    return this.options.workspace;
  }

  get url(): URL {
    return this.options.url;
  }

  get signal(): AbortSignal {
    return this.options.signal;
  }

  async call<R extends Route>(route: R, ...[input]: Arguments<R>): Promise<Answer<R>> {
    return (await this.exchange(route, input ?? {})) as Answer<R>;
  }

  /** All items of a list, page after page, or the first `limit` of them; from the query's cursor on, if it has one. */
  async list<R extends ListRoute>(
    route: R,
    input: CallInput<R>,
    limit = Number.POSITIVE_INFINITY,
  ): Promise<Answer<R>['items']> {
    return (await this.piece(route, input, limit)).items;
  }

  /** As {@link list}, with the cursor from which it goes on where more follow. */
  async piece<R extends ListRoute>(
    route: R,
    input: CallInput<R>,
    limit = Number.POSITIVE_INFINITY,
  ): Promise<{ readonly items: Answer<R>['items']; readonly next?: string | undefined }> {
    const items: unknown[] = [];
    const asked: AnyInput = input;
    const query: { readonly cursor?: string } = asked.query ?? {};
    let { cursor } = query;
    do {
      const page = (await this.exchange(route, {
        ...asked,
        query: { ...query, limit: Math.min(500, limit - items.length), cursor },
      })) as Answer<ListRoute>;
      items.push(...page.items);
      cursor = page.next;
    } while (cursor !== undefined && items.length < limit);
    return { items: items.slice(0, limit), next: cursor };
  }

  /** One direct command to a device; what it answers is checked against the operation. */
  async command<O extends Operation>(
    device: string,
    operation: O,
    args: OperationArguments<O>,
    timeoutSeconds: number,
  ): Promise<OperationResult<O>> {
    const body = { operation, arguments: args as Record<string, unknown>, timeoutSeconds };
    const answer = await this.call(routes.deviceCommand, { params: { device }, body });
    const result = checkMessage(operations[operation].result, answer.result);
    if (!result.ok) {
      throw new AppError('server.incompatible', `device ${device} answered ${operation} with ${result.error.message}`);
    }
    return result.value as OperationResult<O>;
  }

  /** A web service of this control plane, whose front shows a certificate of the same authority. */
  score(request: ScoreRequest): Promise<ScoreAnswer> {
    return scoreEndpoint(request, this.options);
  }

  async hasBlob(digest: string): Promise<boolean> {
    try {
      const answer = await this.open(routes.blobHead, { params: { digest } });
      answer.resume();
      return true;
    } catch (error) {
      if (error instanceof AppError && error.code === 'blob.not-found') return false;
      throw error;
    }
  }

  async putBlob(digest: string, body: StreamedBody): Promise<void> {
    const answer = await this.open(routes.blobPut, { params: { digest } }, body);
    answer.resume();
  }

  /** A small blob, whole; the caller checks the digest. */
  async readBlob(digest: string): Promise<Buffer> {
    return this.readBytes(await this.openBlob(digest));
  }

  /** The bytes of a blob as they come; the caller checks the digest. */
  openBlob(digest: string): Promise<IncomingMessage> {
    return this.open(routes.blobGet, { params: { digest } });
  }

  /** The lines of one file of the workspace's storage as they come. */
  openData(path: string): Promise<IncomingMessage> {
    return this.open(routes.dataRead, { query: { path } });
  }

  /** Live changes of the workspace: resolves when connected; ends when the signal aborts or the server ends it. */
  async events(signal: AbortSignal): Promise<AsyncGenerator<LiveEvent>> {
    return this.readEvents(await this.open(routes.events, {}, undefined, signal), signal);
  }

  close(): void {
    this.transport.close();
  }

  private async *readEvents(answer: IncomingMessage, signal: AbortSignal): AsyncGenerator<LiveEvent> {
    try {
      for await (const event of readServerSentEvents(answer)) {
        const parsed = liveEventData.safeParse(parseJson(event.data));
        // A kind of event that only a newer client understands.
        if (parsed.success) yield { type: event.type, ...parsed.data };
      }
    } catch (error) {
      if (!signal.aborted) throw connectionError(error, this.options.url, this.options.signal);
    } finally {
      answer.destroy();
    }
  }

  /** One call whose answer fits the route's schema. */
  private async exchange(route: Route, input: AnyInput): Promise<unknown> {
    const text = await this.readText(await this.open(route, input));
    const parsed = route.response.safeParse(text === '' ? undefined : parseJson(text));
    if (parsed.success) return parsed.data;
    throw new AppError(
      'server.incompatible',
      `${route.method} ${route.path}: the answer is not what this version knows (${describeIssues(parsed.error)}); use the flotilla command of the server's version`,
    );
  }

  /** Resolves with a successful answer whose body is still to be read. */
  private async open(
    route: Route,
    input: AnyInput,
    upload?: StreamedBody,
    signal?: AbortSignal,
  ): Promise<IncomingMessage> {
    const url = this.urlOf(route, input);
    const ends = signal === undefined ? this.options.signal : AbortSignal.any([signal, this.options.signal]);
    const body = upload ?? (input.body === undefined ? undefined : JSON.stringify(input.body));
    const headers = this.headersOf(route, input, upload);
    const repeatable = route.method === 'GET' || route.method === 'HEAD' || upload !== undefined;
    for (let attempt = 1; ; attempt++) {
      try {
        const silence = route.path === routes.events.path ? 0 : idleMs;
        const answer = await this.transport.send({
          method: route.method,
          url,
          headers,
          body,
          signal: ends,
          idleMs: silence,
        });
        return await this.accept(answer, route);
      } catch (error) {
        const code = error instanceof AppError ? error.code : undefined;
        // What was asked too fast has not been done.
        const again = code === 'rate.limited' || (code === 'server.unreachable' && repeatable);
        if (!again || attempt >= attempts) throw error;
        const wait = code === 'rate.limited' ? 1000 : backoffMs(attempt, retryPolicy, this.options.random());
        await this.options.clock.sleep(wait, ends);
      }
    }
  }

  private async accept(answer: IncomingMessage, route: Route): Promise<IncomingMessage> {
    const status = answer.statusCode ?? 0;
    if (status >= 200 && status < 300) return answer;
    const text = await this.readText(answer);
    // A HEAD has no body to say why.
    if (route.method === 'HEAD' && status === 404) throw new AppError('blob.not-found', 'the server has no such blob');
    if (route.method === 'HEAD' && (status === 401 || status === 403)) {
      throw new AppError(status === 401 ? 'auth.invalid' : 'auth.forbidden', 'the server does not accept this token');
    }
    throw problemFrom(status, text, this.options.url.origin);
  }

  private urlOf(route: Route, input: AnyInput): URL {
    const path = fillPath(route.path, { workspace: this.options.workspace, ...input.params });
    const url = new URL(this.root + path);
    for (const [key, value] of Object.entries((input.query ?? {}) as Record<string, unknown>)) {
      for (const one of Array.isArray(value) ? value : [value]) {
        if (one !== undefined) url.searchParams.append(key, String(one));
      }
    }
    return url;
  }

  private headersOf(route: Route, input: AnyInput, upload: StreamedBody | undefined): Record<string, string> {
    const headers: Record<string, string> = { 'user-agent': this.options.userAgent, accept: 'application/json' };
    if (this.options.token !== undefined) headers['authorization'] = `Bearer ${this.options.token}`;
    if (upload !== undefined) headers['content-type'] = 'application/octet-stream';
    else if (input.body !== undefined) headers['content-type'] = 'application/json';
    if (route.path === routes.events.path) headers['accept'] = 'text/event-stream';
    else if (route.path === routes.blobGet.path || route.path === routes.dataRead.path) headers['accept'] = '*/*';
    return headers;
  }

  private async readText(answer: IncomingMessage): Promise<string> {
    return (await this.readBytes(answer)).toString('utf8');
  }

  private async readBytes(answer: IncomingMessage): Promise<Buffer> {
    const { url, signal } = this.options;
    const tooLarge = (): AppError =>
      new AppError('server.incompatible', `${url.origin} answered with more than 32 MiB`);
    try {
      return await readBounded(answer, maxAnswerBytes, tooLarge);
    } catch (error) {
      throw connectionError(error, url, signal);
    }
  }
}

/** The input may be left out where the route needs none. */
type Arguments<R extends Route> = Record<never, never> extends CallInput<R> ? [CallInput<R>?] : [CallInput<R>];

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return text;
  }
}
