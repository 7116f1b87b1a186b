/**
 * Observe, plan, execute, and again until nothing is left to do; then sleep until woken, or until what
 * is waited for is due. Single-flight: whoever wakes it carries no data. Actions that take long are
 * begun and tell their end as facts, so a crashed host is restarted while another module downloads.
 */
import { backoffMs, type BackoffPolicy } from '#shared/kernel/backoff.js';
import type { Clock } from '#shared/kernel/clock.js';
import { messageOf } from '#shared/kernel/errors.js';
import type { Random } from '#shared/kernel/ids.js';
import { SingleFlight } from '#shared/platform/single-flight.js';
import { type Action, type Executors, execute } from '#agent/reconcile/action.js';
import type { Calendar } from '#agent/reconcile/calendar.js';
import type { DeviceState } from '#agent/reconcile/device-state.js';
import { type Plan, planDevice, wakeTimes } from '#agent/reconcile/plan.js';
import type { Policy } from '#agent/reconcile/policy.js';

/** For `explain`: what was planned, when. */
export interface PlanRecord {
  /** Wall clock, milliseconds. */
  readonly at: number;
  readonly monotonic: number;
  readonly plan: Plan;
  readonly failures: readonly string[];
}

export interface ReconcilerPorts {
  readonly state: DeviceState;
  readonly executors: Executors;
  readonly policy: Policy;
  /** What time it is for maintenance windows. */
  readonly calendar: () => Calendar;
  readonly clock: Clock;
  readonly random: Random;
  readonly onPlanned: (plan: Plan) => void;
  readonly onFailure: (action: Action, error: unknown) => void;
  readonly onBug: (error: unknown) => void;
}

const keptPlans = 20;
/** A plan that asks for this many rounds without pause is at odds with its executors. */
const maxRounds = 100;
const failurePause: BackoffPolicy = { baseMs: 500, maxMs: 30_000 };

export class Reconciler {
  private readonly flight: SingleFlight;
  private timer: NodeJS.Timeout | undefined;
  private stopped = false;
  private records: PlanRecord[] = [];
  private failuresInARow = 0;

  constructor(private readonly ports: ReconcilerPorts) {
    this.flight = new SingleFlight(
      () => this.run(),
      (error) => {
        ports.onBug(error);
        this.wakeAfter(failurePause.maxMs);
      },
    );
  }

  wake(): void {
    if (!this.stopped) this.flight.wake();
  }

  async stop(): Promise<void> {
    this.stopped = true;
    clearTimeout(this.timer);
    await this.flight.stop();
  }

  /** The most recent plan that says what is waited for, and those before it. */
  get recent(): readonly PlanRecord[] {
    return this.records;
  }

  private async run(): Promise<void> {
    const { state, policy, clock, random, onPlanned } = this.ports;
    clearTimeout(this.timer);
    for (let round = 0; round < maxRounds && !this.stopped; round++) {
      const monotonic = clock.monotonic();
      const calendar = this.ports.calendar();
      const { desired, observed } = state;
      const plan = planDevice({ desired, observed, policy, now: monotonic, calendar });
      const failures = await this.executeAll(plan);
      this.remember({ at: clock.now(), monotonic, plan, failures });
      onPlanned(plan);
      if (failures.length > 0) {
        this.failuresInARow += 1;
        this.wakeAfter(backoffMs(this.failuresInARow, failurePause, random()));
        return;
      }
      this.failuresInARow = 0;
      if (plan.actions.length === 0) {
        const times = wakeTimes(plan, monotonic, calendar);
        if (times.length > 0) this.wakeAfter(Math.min(...times) - clock.monotonic());
        return;
      }
    }
    if (!this.stopped) this.wakeAfter(failurePause.maxMs);
  }

  /** One action that fails does not keep the others from being done. */
  private async executeAll(plan: Plan): Promise<string[]> {
    const failures: string[] = [];
    for (const action of plan.actions) {
      if (this.stopped) break;
      try {
        await execute(action, this.ports.executors);
      } catch (error) {
        failures.push(`${action.kind}: ${messageOf(error)}`);
        this.ports.onFailure(action, error);
      }
    }
    return failures;
  }

  private wakeAfter(ms: number): void {
    clearTimeout(this.timer);
    if (!this.stopped) this.timer = setTimeout(() => this.wake(), Math.min(Math.max(1, ms), 2 ** 31 - 1));
  }

  private remember(record: PlanRecord): void {
    const last = this.records.at(-1);
    if (last !== undefined && JSON.stringify(shapeOf(last)) === JSON.stringify(shapeOf(record))) this.records.pop();
    this.records = [...this.records, record].slice(-keptPlans);
  }
}

function shapeOf({ plan, failures }: PlanRecord): unknown {
  return { plan, failures };
}
