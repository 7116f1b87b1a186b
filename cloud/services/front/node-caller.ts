/** A request that Node's server read. */
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http';
import type { AppError } from '#shared/kernel/errors.js';
import type { BodyPace } from '#shared/scoring/body-pace.js';
import type { BodyStart, Caller, RestOptions } from './caller.js';
import type { BodyRest } from './replica-call.js';
import { declaredLength, FlowingBody, readStart } from './request-body.js';

export class NodeCaller implements Caller {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
  readonly rawHeaders: readonly string[];

  constructor(
    private readonly request: IncomingMessage,
    private readonly response: ServerResponse,
  ) {
    this.method = request.method ?? 'GET';
    this.url = request.url ?? '/';
    this.headers = request.headers;
    this.rawHeaders = request.rawHeaders;
  }

  get declaredLength(): number | undefined {
    return declaredLength(this.request);
  }

  get begun(): boolean {
    return this.response.headersSent;
  }

  onLeft(left: () => void): void {
    this.response.once('close', left);
  }

  goAhead(): void {
    if (this.headers.expect !== undefined) this.response.writeContinue();
  }

  readStart(pace: BodyPace, read: (start: BodyStart) => void, failed: (error: AppError) => void): void {
    readStart(this.request, pace, read, failed);
  }

  restOfBody(options: RestOptions): BodyRest {
    return new FlowingBody(this.request, options);
  }

  closeAfter(): void {
    this.response.shouldKeepAlive = false;
  }

  begin(status: number, fields: string[], streams: boolean): void {
    this.response.writeHead(status, fields);
    if (streams) this.response.flushHeaders();
  }

  write(chunk: Buffer, drained: () => void): boolean {
    if (this.response.write(chunk)) return true;
    this.response.once('drain', drained);
    return false;
  }

  end(last?: Buffer): void {
    this.response.end(last);
  }

  abort(): void {
    this.response.destroy();
  }
}
