/**
 * One connection to a replica: one request at a time, kept for the next. Node's own client costs twice as much a request
 * (decision 0043); this one knows no more of HTTP than a replica's answers need.
 */
import { connect, type Socket } from 'node:net';
import { messageOf } from '#shared/kernel/errors.js';
import type { AnswerHead } from './answer-head.js';
import { AnswerReader, type ReadStep } from './answer-reader.js';
import type { ReplicaAddress } from './front-table.js';

export interface Lost {
  /** The replica cannot have read the whole request: it never worked on it. */
  readonly unread: boolean;
  readonly why: string;
}

/** Who asks over the connection, for one request. */
export interface ConnectionUser {
  head(head: AnswerHead): void;
  data(chunk: Buffer): void;
  /** The answer is whole, and the connection free again, or closed. */
  done(): void;
  /** No more will come. */
  lost(lost: Lost): void;
  /** Somebody took the connection: what follows of the body may go. */
  connected(): void;
  /** After `write` had returned false. */
  drained(): void;
}

/** Below it head and body are one write of one string: two, joined by the kernel, cost more. */
const joinedBytes = 8 * 1024;
/**
 * A request must not meet a connection that the replica is closing: it is used again within half the time that the replica
 * said it keeps one, and within a second where it said nothing. The time runs from when the last request was sent, which
 * is before the replica's own can have begun, however late either of us runs.
 */
const unsaidIdleMs = 1000;
const longestIdleMs = 4000;

export class ReplicaConnection {
  private readonly socket: Socket;
  private readonly local: boolean;
  private user: ConnectionUser | undefined;
  private reader: AnswerReader | undefined;
  private keepsAlive = true;
  private connected = false;
  /** More of the body is to follow. */
  private bodyOpen = false;
  private answered = false;
  private idleMs = unsaidIdleMs;
  private askedMs = 0;
  private gone = false;

  /** @param freed when it may carry another request, or is gone */
  constructor(
    address: ReplicaAddress,
    private readonly monotonicMs: () => number,
    private readonly freed: (connection: ReplicaConnection, reusable: boolean) => void,
  ) {
    this.socket =
      'socketPath' in address
        ? connect({ path: address.socketPath })
        : connect({ host: address.host, port: address.port, noDelay: true });
    this.local = 'socketPath' in address;
    this.socket.on('connect', () => {
      this.connected = true;
      this.user?.connected();
    });
    this.socket.on('data', (bytes: Buffer) => this.take(bytes));
    this.socket.on('drain', () => this.user?.drained());
    this.socket.on('end', () => this.ended('it closed the connection'));
    this.socket.on('error', (error: NodeJS.ErrnoException) => this.ended(withoutPlace(error), error.code));
    this.socket.on('close', () => this.ended('the connection was closed'));
  }

  /** Whether it may still carry a request after its rest. */
  get fresh(): boolean {
    return !this.gone && this.monotonicMs() - this.askedMs < this.idleMs;
  }

  /**
   * @param body or its beginning
   * @param open the rest follows by {@link write} and {@link finish}
   */
  send(method: string, head: string, body: Buffer, open: boolean, user: ConnectionUser): void {
    this.user = user;
    this.answered = false;
    this.askedMs = this.monotonicMs();
    this.reader = new AnswerReader(method, {
      head: (answer) => {
        this.keepsAlive = answer.keepsAlive;
        if (answer.idleMs !== undefined) this.idleMs = Math.min(longestIdleMs, answer.idleMs / 2);
        user.head(answer);
      },
      data: (chunk) => user.data(chunk),
    });
    this.bodyOpen = open;
    const { socket } = this;
    if (body.length === 0) socket.write(head, 'latin1');
    else if (body.length <= joinedBytes) socket.write(head + body.toString('latin1'), 'latin1');
    else {
      socket.cork();
      socket.write(head, 'latin1');
      socket.write(body);
      socket.uncork();
    }
    if (this.connected) user.connected();
  }

  /** @returns false: not more before `drained` */
  write(bytes: Buffer | string): boolean {
    return this.gone || this.socket.write(bytes);
  }

  finish(): void {
    this.bodyOpen = false;
  }

  pause(): void {
    this.socket.pause();
  }

  resume(): void {
    this.socket.resume();
  }

  destroy(): void {
    this.user = undefined;
    this.leave(false);
  }

  /** The user has ended: unless its answer is whole, and the connection free, nothing can follow on it. */
  endFor(user: ConnectionUser): void {
    if (this.user === user) this.destroy();
  }

  private take(bytes: Buffer): void {
    // Nobody asked: what comes would be taken for the answer to the next request.
    this.answered = true;
    const step: ReadStep = this.reader?.take(bytes) ?? 'invalid';
    if (step === 'more' || this.gone) return;
    const { user } = this;
    this.user = undefined;
    this.reader = undefined;
    this.leave(step === 'done' && this.keepsAlive && !this.bodyOpen);
    if (step === 'invalid') user?.lost({ unread: false, why: 'its answer is no HTTP that can be read' });
    else user?.done();
  }

  private ended(why: string, code?: string): void {
    if (this.gone) return;
    const { user, reader } = this;
    this.user = undefined;
    this.leave(false);
    if (reader?.endsWithConnection && code === undefined) user?.done();
    else user?.lost({ unread: this.isUnread(code), why });
  }

  /**
   * Nobody took the connection; or its other end, on this machine, was closed with bytes of ours unread. That the kernel
   * reports as a reset; where all had been read, it reports an end. Over a network a reset says nothing of the kind.
   */
  private isUnread(code: string | undefined): boolean {
    if (!this.connected) return true;
    return this.local && !this.answered && !this.bodyOpen && (code === 'EPIPE' || code === 'ECONNRESET');
  }

  private leave(reusable: boolean): void {
    if (this.gone) return;
    if (reusable) this.socket.resume();
    else {
      this.gone = true;
      this.socket.destroy();
    }
    this.freed(this, reusable);
  }
}

/** Callers are told why, and not where: of Node's message the path of a socket stays here. */
function withoutPlace(error: NodeJS.ErrnoException): string {
  const { syscall, code } = error;
  return syscall !== undefined && code !== undefined ? `${syscall} ${code}` : messageOf(error);
}
