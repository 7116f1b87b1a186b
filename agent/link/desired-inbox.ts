/**
 * Judges what comes on the desired channel: size, envelope, the director's signature over the raw
 * payload, form, and the rules on generation, in this order. What is accepted is on disk before it is
 * obeyed; what is refused changes nothing and is said.
 */
import { type Clock, toInstant } from '#shared/kernel/clock.js';
import type { ErrorCode, Problem } from '#shared/kernel/errors.js';
import { err, ok, type Result } from '#shared/kernel/result.js';
import { verifyEnvelope } from '#shared/package/dsse.js';
import { type DecodeError, decodeMessage, maxMessageBytes } from '#shared/protocol/decode.js';
import { type Desired, desiredSchema, maxDesiredBytes } from '#shared/protocol/desired.js';
import { judgeDesired } from '#shared/protocol/desired-acceptance.js';
import { type Envelope, envelopeSchema, payloadTypes } from '#shared/protocol/envelope.js';
import type { DeviceAddress } from '#shared/protocol/topics.js';

export interface Refusal {
  readonly generation?: number;
  readonly problem: Problem;
  readonly at: string;
}

export interface InboxPorts {
  readonly clock: Clock;
  readonly address: DeviceAddress;
  /** Asked for each document. */
  readonly directors: () => readonly string[];
  /** A document came from a director who is not known: ends when whatever the control plane knows of that is known here too. */
  readonly onUnknownDirector: () => Promise<void>;
  /** Durable when it resolves. */
  readonly persist: (envelope: Envelope, desired: Desired) => Promise<void>;
  readonly onAccepted: (desired: Desired, renewed: boolean) => void;
  readonly onRefused: (refusal: Refusal) => void;
}

export class DesiredInbox {
  private queue: Promise<void> = Promise.resolve();

  constructor(
    private readonly ports: InboxPorts,
    private current: Desired | undefined,
    /** No document below this is accepted even when the accepted one was lost. */
    private readonly floor: number,
  ) {}

  get desired(): Desired | undefined {
    return this.current;
  }

  /** One after the other, in the order in which they came. @returns when this one is dealt with */
  receive(payload: Uint8Array): Promise<void> {
    // A cleared retained message: the control plane has nothing for us.
    if (payload.length === 0) return Promise.resolve();
    const turn = this.queue.then(() => this.judge(payload));
    this.queue = turn.catch(() => undefined);
    return turn;
  }

  private async judge(payload: Uint8Array): Promise<void> {
    let read = readDesired(payload, this.ports.directors());
    if (!read.ok && read.error.code === 'signature.unknown-key') {
      await this.ports.onUnknownDirector();
      read = readDesired(payload, this.ports.directors());
    }
    if (!read.ok) {
      this.refuse(undefined, read.error);
      return;
    }
    const { desired, envelope } = read.value;
    const verdict = judgeDesired(desired, this.current, this.ports.address);
    if (verdict.kind === 'refuse') {
      this.refuse(desired.generation, { code: verdict.code, message: verdict.message });
      return;
    }
    if (verdict.kind === 'ignore') return;
    if (desired.generation < this.floor) {
      const message = `generation ${String(desired.generation)} is older than ${String(this.floor)}, which this device has run`;
      this.refuse(desired.generation, { code: 'desired.older-generation', message });
      return;
    }
    await this.ports.persist(envelope, desired);
    this.current = desired;
    this.ports.onAccepted(desired, verdict.kind === 'renew');
  }

  private refuse(generation: number | undefined, problem: Problem): void {
    const at = toInstant(this.ports.clock.now());
    this.ports.onRefused({ ...(generation === undefined ? {} : { generation }), problem, at });
  }
}

/** The checks that need no memory; those that a document on disk passes again at each start. */
function readDesired(
  payload: Uint8Array,
  directors: readonly string[],
): Result<{ desired: Desired; envelope: Envelope }, Problem> {
  const envelope = decodeMessage(envelopeSchema, payload, maxDesiredBytes);
  if (!envelope.ok) return err(desiredProblem(envelope.error));
  return verifyDesired(envelope.value, directors);
}

export function verifyDesired(
  envelope: Envelope,
  directors: readonly string[],
): Result<{ desired: Desired; envelope: Envelope }, Problem> {
  const verified = verifyEnvelope(envelope, payloadTypes.desired, directors);
  if (!verified.ok) {
    return err({ code: verified.error.code, message: `the desired document is refused: ${verified.error.message}` });
  }
  const desired = decodeMessage(desiredSchema, verified.value.payload, maxMessageBytes);
  if (!desired.ok) return err(desiredProblem(desired.error));
  return ok({ desired: desired.value, envelope });
}

function desiredProblem(error: DecodeError): Problem {
  const code: ErrorCode = error.code === 'message.too-large' ? 'desired.too-large' : 'desired.invalid';
  return { code, message: `the desired document is refused: ${error.message}` };
}
