/**
 * Calls that wait for one model. Invariants: what waits stays within the limits of rows and bytes; a call
 * of higher priority leaves before all of lower, within one priority the oldest first; whoever is no longer
 * waited for, or waits past its deadline, never runs.
 */
import { AppError } from '#shared/kernel/errors.js';
import type { EncodedResponse } from '../codec/infer-response.js';
import type { ModelCall } from './model-call.js';

export interface WaitingCall {
  readonly call: ModelCall;
  /** As the length of the body tells; 1 at least. */
  readonly rows: number;
  /** Instant of the monotonic clock. */
  readonly sinceMs: number;
  readonly resolve: (response: EncodedResponse) => void;
  readonly reject: (error: AppError) => void;
}

export interface QueueLimits {
  readonly maxRows: number;
  readonly maxBytes: number;
}

/** 0 is the protocol's default, and the lowest. */
const lowest = Number.MAX_SAFE_INTEGER;

interface Level {
  readonly priority: number;
  /** A call that has left is let go at once: what is kept grows old, and costs the collector dearly. */
  calls: (WaitingCall | undefined)[];
  /** Calls before it have left. */
  head: number;
}

export class CallQueue {
  private readonly levels: Level[] = [];
  private waitingRows = 0;
  private waitingBytes = 0;
  private waitingCalls = 0;
  /** Of the calls that wait, or earlier. */
  private soonestDeadlineMs = Infinity;

  constructor(private readonly limits: QueueLimits) {}

  get length(): number {
    return this.waitingCalls;
  }

  /** Since when the first in line waits. */
  get oldestMs(): number | undefined {
    const [level] = this.levels;
    return level?.calls[level.head]?.sinceMs;
  }

  /** The first instant at which a call may be past its deadline; Infinity where none has one. */
  get deadlineMs(): number {
    return this.soonestDeadlineMs;
  }

  /** Whether a call of this size may wait; one alone always may. */
  hasRoom(rows: number, bytes: number): boolean {
    if (this.waitingCalls === 0) return true;
    return this.waitingRows + rows <= this.limits.maxRows && this.waitingBytes + bytes <= this.limits.maxBytes;
  }

  add(waiting: WaitingCall): void {
    const { call, rows } = waiting;
    const priority = call.priority === undefined || call.priority === 0 ? lowest : call.priority;
    let index = this.levels.length;
    while (index > 0 && (this.levels[index - 1]?.priority ?? 0) > priority) index--;
    const level = this.levels[index - 1];
    if (level?.priority === priority) level.calls.push(waiting);
    else this.levels.splice(index, 0, { priority, calls: [waiting], head: 0 });
    this.waitingRows += rows;
    this.waitingBytes += call.body.length;
    this.waitingCalls += 1;
    if (call.deadlineMs !== undefined && call.deadlineMs < this.soonestDeadlineMs) {
      this.soonestDeadlineMs = call.deadlineMs;
    }
  }

  /**
   * The next calls to run together: at least one where any waits that is still wanted, more as long as
   * they stay within `maxRows` and `maxCalls`. Calls that nobody wants any more are rejected on the way.
   */
  take(nowMs: number, maxRows: number, maxCalls: number): WaitingCall[] {
    const taken: WaitingCall[] = [];
    let rows = 0;
    for (const level of this.levels) {
      while (level.head < level.calls.length && taken.length < maxCalls) {
        const waiting = level.calls[level.head];
        if (!waiting) break;
        const refusal = refusalOf(waiting, nowMs);
        if (refusal === undefined && taken.length > 0 && rows + waiting.rows > maxRows) break;
        level.calls[level.head] = undefined;
        level.head += 1;
        this.left(waiting);
        if (refusal === undefined) {
          taken.push(waiting);
          rows += waiting.rows;
        } else waiting.reject(refusal);
      }
      // What waits in front must not be overtaken by what is less urgent.
      if (level.head < level.calls.length) break;
    }
    this.compact();
    return taken;
  }

  /** Rejects what nobody wants any more. */
  sweep(nowMs: number): void {
    let soonest = Infinity;
    for (const level of this.levels) {
      const kept: WaitingCall[] = [];
      for (let index = level.head; index < level.calls.length; index++) {
        const waiting = level.calls[index];
        if (!waiting) continue;
        const refusal = refusalOf(waiting, nowMs);
        if (refusal === undefined) {
          kept.push(waiting);
          soonest = Math.min(soonest, waiting.call.deadlineMs ?? Infinity);
        } else {
          this.left(waiting);
          waiting.reject(refusal);
        }
      }
      level.calls = kept;
      level.head = 0;
    }
    this.compact();
    this.soonestDeadlineMs = soonest;
  }

  private left({ rows, call }: WaitingCall): void {
    this.waitingRows -= rows;
    this.waitingBytes -= call.body.length;
    this.waitingCalls -= 1;
    if (this.waitingCalls === 0) this.soonestDeadlineMs = Infinity;
  }

  private compact(): void {
    for (let index = this.levels.length - 1; index >= 0; index--) {
      const level = this.levels[index];
      if (!level) continue;
      if (level.head === level.calls.length) this.levels.splice(index, 1);
      else if (level.head > 256) {
        level.calls = level.calls.slice(level.head);
        level.head = 0;
      }
    }
  }
}

function refusalOf({ call, sinceMs }: WaitingCall, nowMs: number): AppError | undefined {
  if (call.abandoned()) {
    return new AppError('request.aborted', 'the client closed the connection while its request waited');
  }
  if (call.deadlineMs !== undefined && nowMs >= call.deadlineMs) {
    return new AppError(
      'score.timeout',
      `the request waited ${String(Math.round(nowMs - sinceMs))} ms for the model, longer than its timeout: try again, or allow more`,
    );
  }
  return undefined;
}
