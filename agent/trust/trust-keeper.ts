/**
 * Follows the trust document of the workspace: asks for what is newer, judges each version by the one
 * before it, and has it on disk before it is in force. What is refused changes nothing and is said.
 */
import type { Clock } from '#shared/kernel/clock.js';
import type { Problem } from '#shared/kernel/errors.js';
import { acceptTrust, readTrustPayload } from '#shared/package/trust-acceptance.js';
import { decodeMessage } from '#shared/protocol/decode.js';
import type { Envelope } from '#shared/protocol/envelope.js';
import { type Trust, trustDataSchema } from '#shared/protocol/trust.js';

/** The trust in force, on disk and in memory. */
export interface TrustStore {
  current(): Trust;
  /** Durable when it resolves, and not in force before. */
  replace(trust: Trust): Promise<void>;
}

export interface TrustPorts {
  readonly clock: Clock;
  readonly workspace: string;
  readonly store: TrustStore;
  /** Publishes on `trust/get`; what cannot be sent is lost. */
  readonly ask: (request: { readonly schema: 1; readonly after: number }) => void;
  readonly onAccepted: (trust: Trust, before: Trust) => void;
  readonly onRefused: (problem: Problem) => void;
  /** No question waits any longer. */
  readonly signal: AbortSignal;
}

/** Who waits for an answer goes on without one after this time. */
const answerPatienceMs = 10_000;
const circlePauseMs = 1_000;
const maxCirclePauseMs = 3_600_000;

export class TrustKeeper {
  private queue: Promise<void> = Promise.resolve();
  private waiting: (() => void)[] = [];
  private refusal: Problem | undefined;
  /** Above which version was asked last. */
  private asked = -1;
  /** A question that waits: answers that lead nowhere must not make a circle of questions. */
  private later: Promise<void> | undefined;
  private circles = 0;

  constructor(private readonly ports: TrustPorts) {}

  current(): Trust {
    return this.ports.store.current();
  }

  /** Why the newest version that was offered is not in force; undefined when it is. */
  get problem(): Problem | undefined {
    return this.refusal;
  }

  ask(after = this.current().version): void {
    this.asked = after;
    this.ports.ask({ schema: 1, after });
  }

  /** Asks, and ends when the answer was dealt with, or when none came. */
  async refresh(): Promise<void> {
    const answered = new Promise<void>((resolve) => this.waiting.push(resolve));
    this.ask();
    const end = new AbortController();
    const patience = this.ports.clock.sleep(answerPatienceMs, AbortSignal.any([end.signal, this.ports.signal]));
    await Promise.race([answered, patience]);
    end.abort();
  }

  /** One after the other. @returns when this one is dealt with; rejects when the disk did not take it */
  receive(payload: Uint8Array): Promise<void> {
    const turn = this.queue.then(() => this.take(payload));
    this.queue = turn.catch(() => undefined);
    return turn.finally(() => {
      for (const resolve of this.waiting.splice(0)) resolve();
    });
  }

  private async take(payload: Uint8Array): Promise<void> {
    const data = decodeMessage(trustDataSchema, payload);
    if (!data.ok) {
      this.refuse(data.error);
      return;
    }
    const before = this.current().version;
    let problem: Problem | undefined;
    for (const envelope of data.value.envelopes) {
      const refused = await this.judge(envelope);
      if (refused === undefined) problem = undefined;
      else if (refused.code !== 'trust.older-version') problem ??= refused;
    }
    const { version } = this.current();
    if (version > before) this.circles = 0;
    const reached = version >= data.value.newest && problem?.code !== 'trust.same-version';
    if (reached) this.refusal = undefined;
    else if (problem !== undefined) this.refuse(problem);
    if (reached) return;
    if (version > before) this.ask();
    else if (version === 0) this.lookFurther(data.value.envelopes);
    else if (problem?.code === 'trust.gap') this.askForTheGap(version);
  }

  /** Pins may begin at any version: whoever could not begin with these looks at those above. */
  private lookFurther(offered: readonly Envelope[]): void {
    const seen = Math.max(0, ...offered.map(versionOf));
    if (seen > this.asked) this.ask(seen);
  }

  /** Told of the newest alone, the device asks for what is between; again and again ever less often. */
  private askForTheGap(version: number): void {
    if (version > this.asked) {
      this.ask();
      return;
    }
    const { clock, signal } = this.ports;
    this.circles += 1;
    this.later ??= clock.sleep(Math.min(circlePauseMs * 2 ** this.circles, maxCirclePauseMs), signal).then(() => {
      this.later = undefined;
      if (!signal.aborted) this.ask();
    });
  }

  private async judge(envelope: Envelope): Promise<Problem | undefined> {
    const { store, workspace, onAccepted } = this.ports;
    const before = store.current();
    const verdict = acceptTrust(envelope, { ...before, workspace });
    if (!verdict.ok) return verdict.error;
    if (!verdict.value.news) return undefined;
    const { version, publishers, threshold, directors, authorities, withdrawn } = verdict.value.document;
    const trust: Trust = { version, publishers, threshold, directors, authorities, withdrawn };
    await store.replace(trust);
    onAccepted(trust, before);
    return undefined;
  }

  private refuse(problem: Problem): void {
    const news = this.refusal?.message !== problem.message;
    this.refusal = problem;
    if (news) this.ports.onRefused(problem);
  }
}

/** As it says of itself: good for asking, and for nothing else. */
function versionOf(envelope: Envelope): number {
  const read = readTrustPayload(envelope);
  return read.ok ? read.value.version : 0;
}
