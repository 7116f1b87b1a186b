/**
 * Copies of live requests to a version that is being watched. Invariants: a live answer never waits for
 * its copy; a copy is made only where there is room for it, and is dropped and counted otherwise; copies
 * run after the live answer was handed over, few at once, and only while the host has nothing live to do.
 */
import { setImmediate } from 'node:timers';
import type { Clock } from '#shared/kernel/clock.js';
import { type ErrorCode, toProblem } from '#shared/kernel/errors.js';
import type { EncodedResponse } from '../codec/infer-response.js';
import type { ModelSignature } from '../codec/tensor.js';
import type { LoadedHostedModule } from '../host/hosted-module.js';
import { outputValues } from './answer-values.js';
import { compareAnswers } from './compare-answers.js';
import type { CopyAnswer, OutsideShadow } from './shadow-door.js';
import { ShadowCounts, type ShadowOutcome, type ShadowStats } from './shadow-counts.js';
import type { ShadowRule } from './traffic-schema.js';

/** How soon a host that was busy is looked at again. */
const lookAgainMs = 5;

export interface ShadowPorts {
  readonly clock: Clock;
  /** In [0, 1). */
  readonly random: () => number;
  /** The shadow version; undefined while it is not loaded. */
  readonly target: () => Target | undefined;
  /** Whether live requests need the cores. */
  readonly busy: () => boolean;
}

type Target = LoadedHostedModule | OutsideShadow;

/** Asks the shadow version the same. */
export type Ask = (target: Target) => Promise<CopyAnswer>;

/** What becomes of a request that is copied. One of the two is called, once. */
export interface Copying {
  answered(live: EncodedResponse, latencyMs: number): void;
  failed(code: ErrorCode): void;
}

interface Copy {
  readonly ask: Ask;
  readonly live: EncodedResponse;
  readonly liveMs: number;
  readonly bytes: number;
  /** Of the live version's model; of another's outputs nothing is known here. */
  readonly signature: ModelSignature;
}

export class Shadow {
  private total = new ShadowCounts();
  private sinceTaken = new ShadowCounts();
  private readonly waiting: Copy[] = [];
  /** Of copies made and not yet run, and of the live answers that they are compared to. */
  private held = 0;
  private heldBytes = 0;
  private running = 0;
  private resting = false;
  private readonly closed = new AbortController();

  constructor(
    readonly module: string,
    readonly rule: ShadowRule,
    private readonly ports: ShadowPorts,
  ) {}

  /**
   * @param bytes of the request
   * @param signature of the version that answers
   * @param copy copies what the live run may take away; called only where there is room
   * @returns undefined where this request is not copied
   */
  sample(bytes: number, signature: ModelSignature, copy: () => Ask): Copying | undefined {
    const { rule, ports } = this;
    if (this.closed.signal.aborted || ports.random() >= rule.rate || !ports.target()) return undefined;
    if (this.held >= rule.maxWaiting || this.heldBytes + bytes > rule.maxWaitingBytes) {
      this.count((counts) => counts.drop());
      return undefined;
    }
    this.hold(1, bytes);
    const ask = copy();
    return {
      answered: (live, liveMs) => this.enqueue({ ask, live, liveMs, bytes, signature }),
      failed: (code) => {
        this.hold(-1, -bytes);
        if (isOwnFault(code)) this.count((counts) => counts.liveFailed());
      },
    };
  }

  /** Since it was set up. */
  snapshot(): ShadowStats {
    return this.total.snapshot();
  }

  /** Since they were last taken. */
  take(): ShadowStats {
    const taken = this.sinceTaken.snapshot();
    this.sinceTaken = new ShadowCounts();
    return taken;
  }

  /** What waits is dropped; what runs is counted when it ends. */
  close(): void {
    this.closed.abort();
    const left = this.waiting.splice(0);
    this.count((counts) => counts.drop(left.length));
    for (const { bytes } of left) this.hold(-1, -bytes);
  }

  private enqueue(copy: Copy): void {
    const { rule } = this;
    const bytes = copy.bytes + copy.live.body.length;
    this.hold(-1, -copy.bytes);
    if (this.closed.signal.aborted || this.heldBytes + bytes > rule.maxWaitingBytes) {
      this.count((counts) => counts.drop());
      return;
    }
    this.hold(1, bytes);
    this.waiting.push({ ...copy, bytes });
    // By then the live answer is on its way.
    setImmediate(() => this.next());
  }

  private next(): void {
    const { rule, ports } = this;
    while (this.running < rule.concurrency && this.waiting.length > 0) {
      if (ports.busy()) {
        this.rest();
        return;
      }
      const target = ports.target();
      const copy = this.waiting.shift();
      if (!copy) return;
      this.running += 1;
      void this.run(copy, target).finally(() => {
        this.running -= 1;
        this.hold(-1, -copy.bytes);
        setImmediate(() => this.next());
      });
    }
  }

  /** One look ahead at a time, however many copies wait. */
  private rest(): void {
    if (this.resting) return;
    this.resting = true;
    void this.ports.clock.sleep(lookAgainMs, this.closed.signal).then(() => {
      this.resting = false;
      this.next();
    });
  }

  /** Never throws: whatever becomes of the copy is a number. */
  private async run(copy: Copy, target: Target | undefined): Promise<void> {
    if (!target) {
      this.count((counts) => counts.drop());
      return;
    }
    const { clock } = this.ports;
    const startedMs = clock.monotonic();
    let answer: CopyAnswer;
    try {
      answer = await copy.ask(target);
    } catch (error) {
      const { code } = toProblem(error);
      // It has no room, or its own processes are being started again: nothing is learned of its answers.
      const missed = code === 'score.overloaded' || (code === 'score.not-ready' && !('signature' in target));
      this.count((counts) => (missed ? counts.drop() : counts.shadowFailed()));
      return;
    }
    const shadowMs = answer.ranMs ?? clock.monotonic() - startedMs;
    const outcome = this.compare(copy, answer, target);
    this.count((counts) => counts.answered(outcome, copy.liveMs, shadowMs));
  }

  private compare({ live, signature }: Copy, shadow: EncodedResponse, target: Target): ShadowOutcome {
    try {
      const known = 'signature' in target ? target.signature : signature;
      const liveValues = outputValues(live, known);
      const shadowValues = liveValues && outputValues(shadow, known);
      return shadowValues ? compareAnswers(liveValues, shadowValues, this.rule.compare) : { kind: 'uncompared' };
    } catch {
      // A script may answer JSON deeper than can be walked.
      return { kind: 'uncompared' };
    }
  }

  private count(what: (counts: ShadowCounts) => void): void {
    what(this.total);
    what(this.sinceTaken);
  }

  private hold(copies: number, bytes: number): void {
    this.held += copies;
    this.heldBytes += bytes;
  }
}

/** What the version failed on by itself: not what it refused, nor what its client gave up. */
function isOwnFault(code: ErrorCode): boolean {
  return code === 'score.failed' || code === 'score.timeout' || code === 'internal';
}
