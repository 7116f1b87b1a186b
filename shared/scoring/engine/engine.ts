/**
 * Brings the calls of a process to its models. A free runner takes what waits, up to a group's limit, with
 * no delay; which model's turn it is, `FairShare` says; how many groups are under way at once is bounded by
 * the cores, so that many workers of one model leave room for the others. A call is refused at once when
 * its model's queue is full. A run that takes longer than the model's `maxRunMs` cannot be stopped: it is told to
 * `onStuck`, and the owner replaces the process.
 */
import { AppError } from '#shared/kernel/errors.js';
import type { EncodedResponse } from '../codec/infer-response.js';
import type { GroupResult } from '../worker/answer-group.js';
import type { BodyRequest } from '../worker/worker-protocol.js';
import type { CallQueue, WaitingCall } from './call-queue.js';
import { FairShare } from './fair-share.js';
import { Lane, type LaneConfig } from './lane.js';
import type { ModelCall } from './model-call.js';
import type { Runner } from './runner.js';

export interface EngineOptions {
  readonly cores: number;
  readonly monotonicMs: () => number;
  readonly onStuck: (model: string, forMs: number) => void;
}

const watchMs = 1000;
const learning = 0.2;

export class Engine {
  private readonly lanes = new Set<Lane>();
  private readonly fairShare = new FairShare();
  private groups = 0;
  private deadlineTimer: NodeJS.Timeout | undefined;
  private deadlineTimerAtMs = Infinity;
  private readonly watch: NodeJS.Timeout;

  constructor(private readonly options: EngineOptions) {
    this.watch = setInterval(() => this.findStuck(), watchMs);
    this.watch.unref();
  }

  add(config: LaneConfig): Lane {
    const lane = new Lane(config, this.fairShare.join());
    this.lanes.add(lane);
    return lane;
  }

  /** Answers what waits and runs, then takes the model out. New calls are refused from now on. */
  async remove(lane: Lane): Promise<void> {
    lane.closed = true;
    while (!lane.isIdle) {
      await new Promise<void>((resolve) => {
        lane.idle = resolve;
      });
    }
    clearTimeout(lane.waitTimer);
    this.lanes.delete(lane);
  }

  close(): void {
    clearInterval(this.watch);
    clearTimeout(this.deadlineTimer);
  }

  /**
   * Before a body is read: whether it could wait.
   *
   * @throws AppError `score.overloaded`
   */
  admit(lane: Lane, bytes: number): void {
    if (!lane.queue.hasRoom(lane.rowsOf(bytes, undefined), bytes)) throw overloaded(lane);
  }

  /** @throws AppError `score.overloaded`, `score.timeout`, `request.aborted`, and what the run ended with */
  submit(lane: Lane, call: ModelCall): Promise<EncodedResponse> {
    return new Promise((resolve, reject) => {
      if (lane.closed) {
        reject(new AppError('score.not-ready', `model "${lane.config.identity.answerName}" is being unloaded`));
        return;
      }
      const inline = lane.runsInline(call);
      const queue = inline ? lane.inlineQueue : lane.queue;
      const rows = lane.rowsOf(call.body.length, call.jsonLength);
      const nowMs = this.options.monotonicMs();
      if (!queue.hasRoom(rows, call.body.length)) queue.sweep(nowMs);
      if (!queue.hasRoom(rows, call.body.length)) {
        reject(overloaded(lane));
        return;
      }
      if (lane.isIdle) this.fairShare.wake(lane.share);
      if (lane.config.options.batching.maxWaitMs > 0) lane.wait.arrived(nowMs);
      queue.add({ call: withDefaultDeadline(call, lane, nowMs), rows, sinceMs: nowMs, resolve, reject });
      if (queue.deadlineMs < this.deadlineTimerAtMs) this.watchDeadlines(queue.deadlineMs, nowMs);
      if (inline) this.scheduleInline(lane);
      else this.dispatch();
    });
  }

  /** Everything that waits when the loop comes round again runs together. */
  private scheduleInline(lane: Lane): void {
    if (lane.inlineScheduled) return;
    lane.inlineScheduled = true;
    setImmediate(() => {
      lane.inlineScheduled = false;
      // Calls that still wait for a lane that left this thread run here: they are few.
      const inline = lane.inline ?? lane.config.inline ?? lane.config.runners[0];
      if (!inline) return;
      const calls = lane.inlineQueue.take(this.options.monotonicMs(), Infinity, lane.maxInlineCalls);
      if (lane.inlineQueue.length > 0) this.scheduleInline(lane);
      if (calls.length > 0) void this.run(lane, inline, calls);
      else this.settled(lane);
    });
  }

  private dispatch(): void {
    // One group at hand for each that runs.
    while (this.groups < 2 * this.options.cores) {
      const ready: { readonly lane: Lane; readonly runner: Runner; readonly share: Lane['share'] }[] = [];
      for (const lane of this.lanes) {
        if (lane.queue.length === 0) continue;
        const runner = freest(lane.config.runners);
        if (runner && !this.putOff(lane)) ready.push({ lane, runner, share: lane.share });
      }
      const next = this.fairShare.pick(ready);
      if (!next) return;
      const { lane, runner } = next;
      const calls = lane.queue.take(this.options.monotonicMs(), lane.maxRows, callsFor(lane));
      if (calls.length === 0) {
        this.settled(lane);
        continue;
      }
      this.groups += 1;
      void this.run(lane, runner, calls).then(() => {
        this.groups -= 1;
        this.dispatch();
      });
    }
  }

  /** Whether more rows are worth a wait; then `dispatch` comes again by itself. */
  private putOff(lane: Lane): boolean {
    const { maxWaitMs } = lane.config.options.batching;
    if (maxWaitMs === 0 || lane.maxCalls === 1 || lane.closed) return false;
    if (lane.waitTimer !== undefined) return lane.queue.length < lane.maxCalls;
    const oldestMs = lane.queue.oldestMs;
    if (oldestMs === undefined || lane.queue.length >= lane.maxCalls) return false;
    const waitedMs = this.options.monotonicMs() - oldestMs;
    const forMs = lane.wait.wait(lane.queue.length, waitedMs, maxWaitMs);
    if (forMs <= 0) return false;
    lane.waitTimer = setTimeout(() => {
      lane.waitTimer = undefined;
      this.dispatch();
    }, forMs);
    return true;
  }

  private async run(lane: Lane, runner: Runner, calls: readonly WaitingCall[]): Promise<void> {
    const { model, identity, statistics, observed } = lane.config;
    lane.groups += 1;
    const startedMs = this.options.monotonicMs();
    for (const { sinceMs } of calls) {
      statistics.waited(startedMs - sinceMs);
      observed.waited(startedMs - sinceMs);
    }
    const expectedMs = lane.expectedMs * calls.length;
    this.fairShare.charge(lane.share, expectedMs);
    const result = await runner.run({ model, identity, requests: calls.map(({ call }) => requestOf(call)) });
    this.learn(lane, runner, expectedMs, calls.length, result);
    if (result.seen) observed.saw(result.seen);
    for (const [index, { resolve, reject }] of calls.entries()) {
      const answer = result.answers[index];
      if (answer?.ok) resolve(answer.response);
      else {
        const { code, message, details } = answer?.problem ?? { code: 'internal', message: 'no answer', details: {} };
        reject(new AppError(code, message, { details: details ?? {} }));
      }
    }
    lane.groups -= 1;
    this.settled(lane);
  }

  private learn(lane: Lane, runner: Runner, expectedMs: number, calls: number, { runs }: GroupResult): void {
    let spentMs = 0;
    for (const run of runs) {
      lane.config.statistics.ran(run);
      const ms = (run.computeInputNs + run.computeInferNs + run.computeOutputNs) / 1e6;
      spentMs += ms;
      lane.config.observed.ran(ms);
      lane.wait.ran(run.rows, ms);
    }
    this.fairShare.charge(lane.share, spentMs - expectedMs);
    lane.expectedMs += learning * (spentMs / calls - lane.expectedMs);
    lane.judge(runner, spentMs / calls, runs);
  }

  private settled(lane: Lane): void {
    if (lane.isIdle) lane.idle?.();
  }

  private watchDeadlines(atMs: number, nowMs: number): void {
    clearTimeout(this.deadlineTimer);
    this.deadlineTimerAtMs = atMs;
    this.deadlineTimer = setTimeout(() => this.sweep(), Math.max(0, atMs - nowMs) + 1);
  }

  private sweep(): void {
    this.deadlineTimerAtMs = Infinity;
    const nowMs = this.options.monotonicMs();
    let soonest = Infinity;
    for (const lane of this.lanes) {
      for (const queue of [lane.queue, lane.inlineQueue] satisfies CallQueue[]) {
        if (queue.deadlineMs <= nowMs) queue.sweep(nowMs);
        soonest = Math.min(soonest, queue.deadlineMs);
      }
      this.settled(lane);
    }
    if (soonest < Infinity) this.watchDeadlines(soonest, nowMs);
  }

  private findStuck(): void {
    const nowMs = this.options.monotonicMs();
    for (const { config } of this.lanes) {
      const { maxRunMs } = config.options.session;
      for (const { busySinceMs } of config.runners) {
        const forMs = busySinceMs === undefined ? 0 : nowMs - busySinceMs;
        if (forMs > maxRunMs) this.options.onStuck(config.identity.answerName, forMs);
      }
    }
  }
}

/** Waiting calls are spread over the runners that are free, so that none idles while another has them all. */
function callsFor(lane: Lane): number {
  const idle = lane.config.runners.filter(({ busy }) => busy === 0).length;
  return Math.min(lane.maxCalls, Math.ceil(lane.queue.length / Math.max(1, idle)));
}

function freest(runners: readonly Runner[]): Runner | undefined {
  let best: Runner | undefined;
  for (const runner of runners) {
    if (runner.busy < runner.limit && runner.busy < (best?.busy ?? Infinity)) best = runner;
  }
  return best;
}

function requestOf({ form, jsonLength, body }: ModelCall): BodyRequest {
  return { form, jsonLength, ...body };
}

function withDefaultDeadline(call: ModelCall, lane: Lane, nowMs: number): ModelCall {
  const { timeoutMs } = lane.config.options.queue;
  return call.deadlineMs !== undefined || timeoutMs === 0 ? call : { ...call, deadlineMs: nowMs + timeoutMs };
}

function overloaded(lane: Lane): AppError {
  return new AppError(
    'score.overloaded',
    `${String(lane.waiting)} requests wait for "${lane.config.identity.answerName}" already: try again shortly`,
  );
}
