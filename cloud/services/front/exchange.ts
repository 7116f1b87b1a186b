/** One client's request from the moment that it may be answered: its body goes to a replica, the answer comes back. */
import { STATUS_CODES } from 'node:http';
import { AppError } from '#shared/kernel/errors.js';
import { aborted, tooLarge } from '#shared/scoring/body-reader.js';
import type { AnswerHead } from './answer-head.js';
import type { BodyStart, Caller } from './caller.js';
import type { FrontPath } from './front-path.js';
import type { Lane } from './lane.js';
import type { Copy } from './mirror.js';
import { answerRefusal, deploymentHeader, errorReasonHeader, errorStatusHeader, statusOf } from './refusal.js';
import { type BodyRest, type CallFailure, type CallReceiver, isFine, ReplicaCall } from './replica-call.js';
import { asChunk, type BodyLimits } from './request-body.js';
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
  private rest: BodyRest | undefined;
  private startedMs = 0;
  /** Of the answer, where it says. */
  private length: number | undefined;
  /** The body of an answer that came in one piece, for one write with the end. */
  private whole: Buffer | undefined;
  private ended = false;

  constructor(
    private readonly caller: Caller,
    private readonly admitted: Admitted,
    private readonly ports: ExchangePorts,
  ) {}

  start(): void {
    const { caller, admitted, ports } = this;
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
    const declared = caller.declaredLength;
    if (declared !== undefined && declared > ports.maxBodyBytes) {
      this.turnAway(tooLarge(ports.maxBodyBytes));
      return;
    }
    caller.onLeft(() => this.left());
    caller.goAhead();
    caller.readStart(
      ports.pace,
      (start) => this.ask(start, declared),
      (error) => this.turnAway(error),
    );
  }

  head(head: AnswerHead): void {
    const { caller, admitted } = this;
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
    if (caller.method === 'HEAD') {
      if (head.declaredLength !== undefined) fields.push('content-length', String(head.declaredLength));
    } else if (head.framing.kind === 'length' && status !== 204 && status !== 304) {
      fields.push('content-length', String(head.framing.bytes));
    }
    if (head.framing.kind === 'length') this.length = head.framing.bytes;
    caller.begin(status, fields, head.framing.kind !== 'length');
  }

  data(chunk: Buffer): boolean {
    const { caller, admitted } = this;
    admitted.copy?.liveData(chunk);
    if (chunk.length === this.length) {
      this.whole = chunk;
      return true;
    }
    return caller.write(chunk, () => this.call?.resume());
  }

  done(latencyMs: number): void {
    this.ended = true;
    this.caller.end(this.whole);
    this.sendCopy(latencyMs);
  }

  failed(failure: CallFailure, begun: boolean): void {
    const { admitted, caller } = this;
    if (begun) {
      this.ended = true;
      admitted.copy?.forget();
      caller.abort();
      return;
    }
    this.sendCopy(this.ports.monotonicMs() - this.startedMs, statusOf(failure.error, 'score'));
    this.refuse(failure);
  }

  private ask({ bytes, whole }: BodyStart, declared: number | undefined): void {
    if (this.ended) return;
    const { caller, admitted, ports } = this;
    const { path, lane, copy, requestId } = admitted;
    const framing = framingOf(caller, whole, bytes, declared);
    const { method, rawHeaders } = caller;
    const head = headForReplica({ method, target: path.target, rawHeaders, requestId, framing });
    if (head === undefined) {
      this.turnAway(new AppError('request.invalid', 'a header has characters that none may have'));
      return;
    }
    if (bytes.length > 0) copy?.add(bytes);
    const chunked = framing.kind === 'chunked';
    this.rest = whole
      ? undefined
      : caller.restOfBody({
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

  private left(): void {
    if (this.ended) return;
    this.ended = true;
    this.call?.abandon();
    this.admitted.copy?.forget();
  }

  private refuse({ error, reason }: CallFailure): void {
    if (this.ended) return;
    this.ended = true;
    const { caller, admitted } = this;
    const { path, lane, requestId } = admitted;
    if (error.code === aborted().code) caller.abort();
    else answerRefusal(caller, { error, reason, face: path.face, requestId, deployment: lane.name });
  }
}

function framingOf(caller: Caller, whole: boolean, bytes: Buffer, declared: number | undefined): Framing {
  if (!whole) return declared === undefined ? { kind: 'chunked' } : { kind: 'length', bytes: declared };
  const bodyless = bytes.length === 0 && declared === 0 && caller.headers['content-length'] === undefined;
  return bodyless && caller.method !== 'POST' ? { kind: 'none' } : { kind: 'length', bytes: bytes.length };
}
