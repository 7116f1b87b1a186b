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
}

/** Who waits for an answer goes on without one after this time. */
const answerPatienceMs = 10_000;
const circlePauseMs = 5_000;

export class TrustKeeper {
  private queue: Promise<void> = Promise.resolve();
  private waiting: (() => void)[] = [];
  private refusal: Problem | undefined;
  /** The last question, so that answers that lead nowhere do not make a circle of questions. */
  private asked = { after: -1, at: Number.NEGATIVE_INFINITY };

  constructor(private readonly ports: TrustPorts) {}

  current(): Trust {
    return this.ports.store.current();
  }

  /** Why the newest version that was offered is not in force; undefined when it is. */
  get problem(): Problem | undefined {
    return this.refusal;
  }

  ask(after = this.current().version): void {
    this.asked = { after, at: this.ports.clock.monotonic() };
    this.ports.ask({ schema: 1, after });
  }

  /** Asks, and ends when the answer was dealt with, or when none came. */
  async refresh(signal: AbortSignal): Promise<void> {
    const answered = new Promise<void>((resolve) => this.waiting.push(resolve));
    this.ask();
    const end = new AbortController();
    const patience = this.ports.clock.sleep(answerPatienceMs, AbortSignal.any([end.signal, signal]));
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
    let problem: Problem | undefined;
    for (const envelope of data.value.envelopes) {
      const refused = await this.judge(envelope);
      if (refused === undefined) problem = undefined;
      // Told of the newest alone, the device asks for what is between.
      else if (refused.code !== 'trust.older-version') problem ??= refused;
    }
    const { version } = this.current();
    const reached = version >= data.value.newest;
    if (problem !== undefined && !reached) this.refuse(problem);
    if (reached) this.refusal = undefined;
    else this.askFurther(data.value.envelopes);
  }

  /** There is more than fits one message, or the newest came without those before it. */
  private askFurther(offered: readonly Envelope[]): void {
    const { version } = this.current();
    // Pins may begin anywhere: whoever could not begin here looks further on.
    const seen = version > 0 ? version : Math.max(0, ...offered.map(versionOf));
    const { after, at } = this.asked;
    if (seen > after || this.ports.clock.monotonic() - at > circlePauseMs) this.ask(seen);
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
