/** What is so on this device right now: the one place that changes it, and tells who must know. */
import type { Clock } from '#shared/kernel/clock.js';
import type { Random } from '#shared/kernel/ids.js';
import type { Desired } from '#shared/protocol/desired.js';
import type { Observed } from '#agent/reconcile/observed.js';
import type { Fact, Rejection } from '#agent/reconcile/fact.js';
import { observe } from '#agent/reconcile/observe.js';

export class DeviceState {
  private listeners: ((fact: Fact) => void)[] = [];
  private accepted: Desired | undefined;

  constructor(
    private state: Observed,
    private readonly clock: Clock,
    private readonly random: Random,
  ) {}

  get observed(): Observed {
    return this.state;
  }

  get desired(): Desired | undefined {
    return this.accepted;
  }

  onChange(listener: (fact: Fact) => void): void {
    this.listeners.push(listener);
  }

  accept(desired: Desired, rejections: Readonly<Record<string, Rejection>>): void {
    this.accepted = desired;
    this.take({ kind: 'desiredAccepted', desired, rejections });
  }

  /** The same document with a later expiry: nothing to do anew. */
  renew(desired: Desired): void {
    this.accepted = desired;
  }

  take(fact: Fact): void {
    const before = this.state;
    this.state = observe(before, fact, { at: this.clock.monotonic(), random: this.random() });
    if (this.state === before) return;
    for (const listener of this.listeners) listener(fact);
  }
}
