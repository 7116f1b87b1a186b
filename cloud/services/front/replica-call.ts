/**
 * One request to one of a deployment's replicas: waits for its turn, asks, asks another where the first surely never
 * worked on it, keeps the time, and counts. Who receives the answer is a client, or nobody (a mirrored copy).
 */
import { AppError, type ErrorCode } from '#shared/kernel/errors.js';
import type { AnswerHead } from './answer-head.js';
import { codeOfAnswer } from './code-of-answer.js';
import type { DeploymentTally } from './deployment-tally.js';
import type { FrontImage } from './front-table.js';
import type { Lane, Turn } from './lane.js';
import type { Replica } from './replica.js';
import type { ConnectionUser, Lost, ReplicaConnection } from './replica-connection.js';

export interface CallRequest {
  readonly method: string;
  readonly head: string;
  /** Or its beginning, where {@link rest} is given. */
  readonly body: Buffer;
  readonly rest?: BodyRest | undefined;
  /** It runs a model: what becomes of it is among the deployment's numbers. */
  readonly scores: boolean;
}

/** What follows of a body that is too large to hold. */
export interface BodyRest {
  /** Begins once, when a replica has taken the connection. `write` returns false: not more before `resume`. */
  start(write: (bytes: Buffer | string) => boolean, finish: () => void): void;
  resume(): void;
  /** No more is wanted. */
  stop(): void;
  /** All of it has been passed on. */
  readonly ended: boolean;
}

export interface CallReceiver {
  head(head: AnswerHead): void;
  /** @returns false: not more before {@link ReplicaCall.resume} */
  data(chunk: Buffer): boolean;
  /** @param latencyMs from when it was let in to the last byte */
  done(latencyMs: number): void;
  /** @param begun a part of the answer was handed over */
  failed(failure: CallFailure, begun: boolean): void;
}

export interface CallFailure {
  readonly error: AppError;
  /** What befell the replica, where it is the cause. */
  readonly reason?: string;
}

/** An answer that has begun may be silent for so long, or for the deployment's timeout where that is longer. */
const leastSilenceMs = 10_000;

export class ReplicaCall implements Turn, ConnectionUser {
  tried: readonly Replica[] = [];
  private replica: Replica | undefined;
  private connection: ReplicaConnection | undefined;
  private timer: NodeJS.Timeout | undefined;
  private startedMs = 0;
  private waitsForFirst = false;
  private restStarted = false;
  private answering: AnswerHead | undefined;
  private receiverIsFull = false;
  private over = false;
  private readonly tally: DeploymentTally | undefined;

  constructor(
    private readonly lane: Lane,
    private readonly request: CallRequest,
    private readonly receiver: CallReceiver,
    private readonly monotonicMs: () => number,
  ) {
    this.tally = request.scores ? lane.tally : undefined;
  }

  start(): void {
    const { lane } = this;
    this.startedMs = this.monotonicMs();
    this.tally?.begun();
    lane.outstanding += 1;
    const firstWaitMs = lane.firstWaitMs;
    this.waitsForFirst = firstWaitMs !== undefined;
    if (firstWaitMs === undefined) this.setTimer(lane.timeoutMs, () => this.late());
    else this.setTimer(firstWaitMs, () => this.noReplicaCame(firstWaitMs));
    lane.ask(this);
  }

  /** The receiver takes more. */
  resume(): void {
    this.receiverIsFull = false;
    this.connection?.resume();
  }

  /** Nobody wants the answer any more. @param code why */
  abandon(code: ErrorCode = 'request.aborted'): void {
    const { image } = this;
    if (this.end()) this.tally?.images.failed(image, code);
  }

  /** Of the replica that has it, or had it last. */
  get image(): FrontImage | undefined {
    return (this.replica ?? this.tried.at(-1))?.image ?? this.lane.image;
  }

  given(replica: Replica): void {
    if (this.waitsForFirst) {
      // Its time begins with the replica's.
      this.waitsForFirst = false;
      this.startedMs = this.monotonicMs();
      this.setTimer(this.lane.timeoutMs, () => this.late());
    }
    this.replica = replica;
    const { method, head, body, rest } = this.request;
    this.connection = replica.connection();
    this.connection.send(method, head, body, rest !== undefined, this);
  }

  refused(error: AppError): void {
    this.tally?.refused(error);
    this.fail({ error });
  }

  connected(): void {
    const { rest } = this.request;
    const { connection } = this;
    if (!connection || !rest) return;
    this.restStarted = true;
    rest.start(
      (bytes) => connection.write(bytes),
      () => connection.finish(),
    );
  }

  drained(): void {
    this.request.rest?.resume();
  }

  head(head: AnswerHead): void {
    if (this.over) return;
    this.answering = head;
    this.replica?.answered();
    if (head.framing.kind !== 'length' || head.framing.bytes > 0) {
      this.setTimer(Math.max(this.lane.timeoutMs, leastSilenceMs), () => this.silent());
    }
    this.receiver.head(head);
  }

  data(chunk: Buffer): void {
    if (this.over) return;
    this.timer?.refresh();
    if (this.receiver.data(chunk)) return;
    this.receiverIsFull = true;
    this.connection?.pause();
  }

  done(): void {
    const nowMs = this.monotonicMs();
    const latencyMs = nowMs - this.startedMs;
    const status = this.answering?.status;
    const fine = isFine(status);
    this.tally?.answered(fine, latencyMs, nowMs);
    if (!this.end()) return;
    if (fine) this.tally?.images.answered(this.image, latencyMs);
    else this.tally?.images.failed(this.image, codeOfAnswer(status ?? 0));
    this.receiver.done(latencyMs);
  }

  lost({ unread, why }: Lost): void {
    const { replica, lane } = this;
    if (!replica || this.over) return;
    replica.failed(why);
    if (unread && !this.restStarted && this.answering === undefined) {
      this.tried = [...this.tried, replica];
      this.replica = undefined;
      this.connection = undefined;
      lane.release(replica);
      lane.ask(this, true);
      return;
    }
    this.tally?.failed();
    const when = this.answering === undefined ? 'before it answered' : 'in the middle of its answer';
    this.fail({
      error: new AppError('endpoint.replica-failed', `a replica of ${lane.title} failed ${when}: ${why}`),
      reason: why,
    });
  }

  private late(): void {
    const { lane, request, replica } = this;
    const ms = `${String(lane.timeoutMs)} ms`;
    if (replica && request.rest && !request.rest.ended) {
      this.fail({
        error: new AppError('request.timeout', `the body did not come within ${ms}, the time of a request`),
      });
      return;
    }
    this.tally?.failed();
    const where = replica ? `${lane.title} did not answer` : `${lane.title} had no room`;
    this.fail({ error: new AppError('score.timeout', `${where} within ${ms}, the time of a request there`) });
  }

  private silent(): void {
    if (this.receiverIsFull) {
      this.fail({ error: new AppError('request.aborted', 'the client does not read its answer') });
      return;
    }
    this.tally?.failed();
    const error = new AppError('endpoint.replica-failed', `a replica of ${this.lane.title} stopped in its answer`);
    this.fail({ error, reason: 'silent' });
  }

  private noReplicaCame(afterMs: number): void {
    this.tally?.failed();
    const text = `${this.lane.title} is at rest, and no replica was ready within ${String(afterMs)} ms: try again shortly`;
    this.fail({ error: new AppError('score.not-ready', text) });
  }

  private fail(failure: CallFailure): void {
    if (!this.end()) return;
    this.tally?.images.failed(this.image, failure.error.code);
    this.receiver.failed(failure, this.answering !== undefined);
  }

  /** Gives back what it holds. @returns false: it was over before */
  private end(): boolean {
    if (this.over) return false;
    this.over = true;
    clearTimeout(this.timer);
    const { lane, replica, connection, request } = this;
    this.connection = undefined;
    request.rest?.stop();
    lane.outstanding -= 1;
    connection?.endFor(this);
    if (replica) lane.release(replica);
    else lane.leave(this);
    return true;
  }

  private setTimer(ms: number, then: () => void): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(then, ms);
  }
}

/** Azure calls everything else a failure of the model. */
export function isFine(status: number | undefined): boolean {
  return status !== undefined && status >= 200 && status <= 299;
}
