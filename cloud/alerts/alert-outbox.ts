/**
 * Tells what the outbox holds: each destination one notice after the other, in order, again with growing waits until it
 * takes it. What a kill cuts off is told again with the same id: at least once.
 */
import { type BackoffPolicy, backoffMs } from '#shared/kernel/backoff.js';
import type { Clock } from '#shared/kernel/clock.js';
import { messageOf } from '#shared/kernel/errors.js';
import type { Logger } from '#shared/platform/logger.js';
import { SingleFlight } from '#shared/platform/single-flight.js';
import type { Counter } from '#cloud/http/metrics.js';
import type { LiveEvents } from '#cloud/live/live-events.js';
import type { Notice } from './alert-notice.js';
import { type AlertRepository, announcement, type OutboxNotice } from './alert-repository.js';
import { isTroubling } from './rollout-notice.js';
import { isTroublingShift } from './shift-notice.js';
import type { Destination } from './destinations.js';

export interface AlertOutboxOptions {
  readonly alerts: AlertRepository;
  readonly destinations: readonly Destination[];
  /** @returns undefined when it was taken, else why not */
  readonly send: (destination: Destination, notice: Notice, nowMs: number) => Promise<string | undefined>;
  readonly clock: Clock;
  readonly random: () => number;
  readonly live: LiveEvents;
  readonly logger: Logger;
  readonly deliveries: Counter;
}

const retryPolicy: BackoffPolicy = { baseMs: 2_000, maxMs: 10 * 60_000 };
/** What a destination did not take for so long is no news any more. */
const giveUpMs = 24 * 3_600_000;

export class AlertOutbox {
  private readonly flight: SingleFlight;

  constructor(private readonly options: AlertOutboxOptions) {
    this.flight = new SingleFlight(
      () => this.drain(),
      (error) => options.logger.error({ reason: messageOf(error) }, 'notices of alerts wait; they are told soon'),
    );
  }

  wake(): void {
    this.flight.wake();
  }

  async idle(): Promise<void> {
    await this.flight.idle();
  }

  async stop(): Promise<void> {
    await this.flight.stop();
  }

  private async drain(): Promise<void> {
    const { alerts, clock } = this.options;
    for (let due = await alerts.due(clock.now()); due.length > 0; due = await alerts.due(clock.now())) {
      // A destination that is slow holds up the others by its own time limit at most.
      await Promise.all(due.map((one) => this.tell(one)));
    }
  }

  private async tell(one: OutboxNotice): Promise<void> {
    const { alerts, clock, deliveries, random } = this.options;
    if (one.destination === announcement) {
      this.announce(one.notice);
      await alerts.told(one.id);
      return;
    }
    const failure = await this.deliver(one);
    const now = clock.now();
    if (failure === undefined) {
      deliveries.add({ destination: one.destination, outcome: 'taken' });
      await alerts.told(one.id);
    } else if (failure === 'unknown' || now - one.createdAt > giveUpMs) {
      deliveries.add({ destination: one.destination, outcome: 'given-up' });
      this.log(one, failure).error('a notice of an alert was given up');
      await alerts.told(one.id);
    } else {
      deliveries.add({ destination: one.destination, outcome: 'failed' });
      this.log(one, failure).warn('a notice of an alert was not taken; it is sent again');
      const attempts = one.attempts + 1;
      await alerts.putOff(one.id, attempts, now + backoffMs(attempts, retryPolicy, random()));
    }
  }

  /** @returns why it was not taken; `unknown`: there is no such destination any more */
  private async deliver({ destination: name, notice }: OutboxNotice): Promise<string | undefined> {
    const destination = this.options.destinations.find((one) => one.name === name);
    if (destination === undefined) return 'unknown';
    return this.options.send(destination, notice, this.options.clock.now());
  }

  private announce(notice: Notice): void {
    const { live, logger } = this.options;
    const { type } = notice;
    const level = type === 'alert.fired' || isTroubling(type) || isTroublingShift(type) ? 'warn' : 'info';
    logger[level]({ alert: notice }, notice.summary);
    live.publish({ workspace: notice.workspace, type: 'alert.changed', subject: notice.rule, data: notice });
  }

  private log({ destination, notice, attempts }: OutboxNotice, reason: string): Logger {
    const { id, workspace, rule } = notice;
    return this.options.logger.child({ destination, attempts: attempts + 1, reason, alert: { id, workspace, rule } });
  }
}
