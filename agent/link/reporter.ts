/** Carries the device's reported state to the control plane, as report-outbox.ts decides. */
import { type Clock, toInstant } from '#shared/kernel/clock.js';
import type { Reported, ReportedState } from '#shared/protocol/reported.js';
import {
  changeOutbox,
  defaultOutboxPolicy,
  emptyOutbox,
  nextReport,
  type OutboxFact,
  type OutboxPolicy,
  type OutboxState,
} from '#agent/link/report-outbox.js';

export interface ReporterPorts {
  readonly clock: Clock;
  readonly bootId: number;
  readonly publish: (report: Reported) => Promise<boolean>;
  /** The whole of what is so now. */
  readonly current: () => ReportedState;
}

export class Reporter {
  private outbox: OutboxState = emptyOutbox;
  private timer: NodeJS.Timeout | undefined;
  private stopped = false;

  constructor(
    private readonly ports: ReporterPorts,
    private readonly policy: OutboxPolicy = defaultOutboxPolicy,
  ) {}

  linkChanged(up: boolean): void {
    this.take({ kind: 'link', up });
  }

  acknowledged(bootId: number, upTo: number): void {
    if (bootId === this.ports.bootId) this.take({ kind: 'acknowledged', upTo });
  }

  wholeAsked(): void {
    this.take({ kind: 'wholeAsked' });
  }

  /** Something may have changed. */
  wake(): void {
    if (this.stopped) return;
    clearTimeout(this.timer);
    const { clock, bootId } = this.ports;
    const state = this.ports.current();
    const now = clock.monotonic();
    const step = nextReport(this.outbox, state, now, this.policy);
    switch (step.kind) {
      case 'nothing':
        return;
      case 'wait':
        this.timer = setTimeout(() => this.wake(), Math.max(1, step.until - now));
        return;
      case 'send': {
        const { sequence, base, patch } = step;
        this.take({ kind: 'sent', sequence, state, at: now });
        const at = toInstant(clock.now());
        const report: Reported = {
          schema: 1,
          bootId,
          sequence,
          ...(base === undefined ? {} : { base }),
          at,
          state: patch,
        };
        // A failure to send ends the connection, and that brings the whole.
        void this.ports.publish(report);
      }
    }
  }

  stop(): void {
    this.stopped = true;
    clearTimeout(this.timer);
  }

  private take(fact: OutboxFact): void {
    this.outbox = changeOutbox(this.outbox, fact);
    this.wake();
  }
}
