/** What one route has done: since the agent started, and since it was last told. */
import type { RouteMetrics } from '#shared/protocol/route-metrics.js';
import type { LossReason } from './payload.js';

export class RouteCounts {
  in = 0;
  out = 0;
  readonly dropped = new Map<LossReason, number>();
  /** The last message of each reason, for people. */
  lastProblem: string | undefined;
  private told: RouteMetrics = { in: 0, out: 0, dropped: {} };

  entered(): void {
    this.in += 1;
  }

  left(): void {
    this.out += 1;
  }

  lost(reason: LossReason, message?: string): void {
    this.dropped.set(reason, (this.dropped.get(reason) ?? 0) + 1);
    if (message !== undefined) this.lastProblem = message.slice(0, 500);
  }

  get total(): RouteMetrics {
    return { in: this.in, out: this.out, dropped: Object.fromEntries(this.dropped) };
  }

  /** What came since this was last asked; undefined when nothing did. */
  takeDelta(): RouteMetrics | undefined {
    const { told, total } = this;
    this.told = total;
    const dropped = Object.entries(total.dropped).flatMap(([reason, count]) => {
      const more = count - (told.dropped[reason] ?? 0);
      return more === 0 ? [] : [[reason, more] as const];
    });
    const delta = { in: total.in - told.in, out: total.out - told.out, dropped: Object.fromEntries(dropped) };
    return delta.in === 0 && delta.out === 0 && dropped.length === 0 ? undefined : delta;
  }
}
