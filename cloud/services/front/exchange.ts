/** One client's request from the moment that it may be answered: its body goes to a replica, the answer comes back. */
import { type IncomingMessage, type ServerResponse, STATUS_CODES } from 'node:http';
import { AppError } from '#shared/kernel/errors.js';
import { aborted, tooLarge } from '#shared/scoring/body-reader.js';
import type { AnswerHead } from './answer-head.js';
import type { FrontPath } from './front-path.js';
import type { Lane } from './lane.js';
import type { Copy } from './mirror.js';
import { answerRefusal, deploymentHeader, errorReasonHeader, errorStatusHeader, statusOf } from './refusal.js';
import { type CallFailure, type CallReceiver, isFine, ReplicaCall } from './replica-call.js';
import { asChunk, type BodyLimits, type BodyStart, declaredLength, FlowingBody, readStart } from './request-body.js';
import { type Framing, headForReplica } from './request-head.js';

export interface Admitted {
  readonly path: FrontPath;
  readonly requestId: string;
  readonly lane: Lane;
  /** It is mirrored. */
  readonly copy: Copy | undefined;
}

export interface ExchangePorts extends BodyLimits {
  monotonicMs(): number;
}

const empty = Buffer.alloc(0);

export class Exchange implements CallReceiver {
  private call: ReplicaCall | undefined;
  private rest: FlowingBody | undefined;
  private startedMs = 0;
  /** Of the answer, where it says. */
  private length: number | undefined;
  /** The body of an answer that came in one piece, for one write with the end. */
  private whole: Buffer | undefined;
  private ended = false;

  constructor(
    private readonly request: IncomingMessage,
    private readonly response: ServerResponse,
    private readonly admitted: Admitted,
    private readonly ports: ExchangePorts,
  ) {}

  start(): void {
    const { request, response, admitted, ports } = this;
    const { lane, path } = admitted;
    const refusal = lane.refusal();
    if (refusal) {
      if (path.scores) {
        lane.tally.turnedAway(refusal);
        lane.tally.images.failed(lane.image, refusal.code);
      }
      this.turnAway(refusal);
      return;
    }
    const declared = declaredLength(request);
    if (declared !== undefined && declared > ports.maxBodyBytes) {
      this.turnAway(tooLarge(ports.maxBodyBytes));
      return;
    }
    response.once('close', () => this.closed());
    if (request.headers.expect !== undefined) response.writeContinue();
    readStart(
      request,
      ports.pace,
      (start) => this.ask(start, declared),
      (error) => this.turnAway(error),
    );
  }

  head(head: AnswerHead): void {
    const { response, admitted, request } = this;
    const { face, scores } = admitted.path;
    admitted.copy?.liveHead(head);
    const fields = head.fields;
    fields.push(deploymentHeader, admitted.lane.name, 'x-request-id', admitted.requestId);
    let { status } = head;
    if (!isFine(status)) {
      const reason = head.reason === '' ? (STATUS_CODES[status] ?? '') : head.reason.slice(0, 200);
      fields.push(errorStatusHeader, String(status), errorReasonHeader, reason);
      // V2's clients judge by its own statuses.
      if (face === 'score' && scores) status = 424;
    }
    if (request.method === 'HEAD') {
      if (head.declaredLength !== undefined) fields.push('content-length', String(head.declaredLength));
    } else if (head.framing.kind === 'length' && status !== 204 && status !== 304) {
      fields.push('content-length', String(head.framing.bytes));
    }
    response.writeHead(status, fields);
    if (head.framing.kind === 'length') this.length = head.framing.bytes;
    else response.flushHeaders();
  }

  data(chunk: Buffer): boolean {
    const { response, admitted } = this;
    admitted.copy?.liveData(chunk);
    if (chunk.length === this.length) {
      this.whole = chunk;
      return true;
    }
    if (response.write(chunk)) return true;
    response.once('drain', () => this.call?.resume());
    return false;
  }

  done(latencyMs: number): void {
    this.ended = true;
    this.response.end(this.whole);
    this.sendCopy(latencyMs);
  }

  failed(failure: CallFailure, begun: boolean): void {
    const { admitted, response } = this;
    if (begun) {
      this.ended = true;
      admitted.copy?.forget();
      response.destroy();
      return;
    }
    this.sendCopy(this.ports.monotonicMs() - this.startedMs, statusOf(failure.error, 'score'));
    this.refuse(failure);
  }

  private ask({ bytes, whole }: BodyStart, declared: number | undefined): void {
    if (this.ended) return;
    const { request, admitted, ports } = this;
    const { path, lane, copy, requestId } = admitted;
    const framing = framingOf(request, whole, bytes, declared);
    const method = request.method ?? 'GET';
    const head = headForReplica({ method, target: path.target, rawHeaders: request.rawHeaders, requestId, framing });
    if (head === undefined) {
      this.turnAway(new AppError('request.invalid', 'a header has characters that none may have'));
      return;
    }
    if (bytes.length > 0) copy?.add(bytes);
    const chunked = framing.kind === 'chunked';
    this.rest = whole
      ? undefined
      : new FlowingBody(request, {
          ...{ maxBodyBytes: ports.maxBodyBytes, before: bytes.length, chunked },
          seen: (chunk) => copy?.add(chunk),
          failed: (error) => this.turnAway(error),
        });
    const body = chunked ? asChunk(bytes) : bytes.length > 0 ? bytes : empty;
    const asked = { method, head, body, rest: this.rest, scores: path.scores };
    this.call = new ReplicaCall(lane, asked, this, () => ports.monotonicMs());
    this.startedMs = ports.monotonicMs();
    this.call.start();
  }

  /** The request is not what it should be, or one too many: no replica hears of it, or no more. */
  private turnAway(error: AppError): void {
    this.call?.abandon(error.code);
    this.admitted.copy?.forget();
    this.refuse({ error });
  }

  private sendCopy(latencyMs: number, status?: number): void {
    const { copy, lane } = this.admitted;
    // Of a body that was not read to its end there is no copy.
    if (this.rest && !this.rest.ended) copy?.forget();
    else copy?.send({ deployment: lane.name, image: this.call?.image ?? lane.image }, latencyMs, status);
  }

  private closed(): void {
    if (this.ended) return;
    this.ended = true;
    this.call?.abandon();
    this.admitted.copy?.forget();
  }

  private refuse({ error, reason }: CallFailure): void {
    if (this.ended) return;
    this.ended = true;
    const { response, admitted, request } = this;
    const { path, lane, requestId } = admitted;
    // Who asks first whether to send a body may now send it or not: what follows could be either.
    if (request.headers.expect !== undefined) response.shouldKeepAlive = false;
    if (error.code === aborted().code) response.destroy();
    else answerRefusal(response, { error, reason, face: path.face, requestId, deployment: lane.name });
  }
}

function framingOf(request: IncomingMessage, whole: boolean, bytes: Buffer, declared: number | undefined): Framing {
  if (!whole) return declared === undefined ? { kind: 'chunked' } : { kind: 'length', bytes: declared };
  const bodyless = bytes.length === 0 && declared === 0 && request.headers['content-length'] === undefined;
  return bodyless && request.method !== 'POST' ? { kind: 'none' } : { kind: 'length', bytes: bytes.length };
}
