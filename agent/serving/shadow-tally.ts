/** What a shadow's answers have been beside the live ones, since it was begun: for whoever looks at the device. */
import { decodeSketch, emptySketch, mergeSketch, quantile } from '#shared/protocol/sketch.js';
import type { OutsideStats } from '#shared/scoring/traffic/shadow-counts.js';

const counted = ['compared', 'agreed', 'uncompared', 'liveErrors', 'shadowErrors', 'dropped'] as const;

export class ShadowTally {
  private readonly counts: Record<(typeof counted)[number], number> = {
    compared: 0,
    agreed: 0,
    uncompared: 0,
    liveErrors: 0,
    shadowErrors: 0,
    dropped: 0,
  };
  private readonly live = emptySketch();
  private readonly shadow = emptySketch();

  /** @returns whether this said anything new */
  add(stats: OutsideStats): boolean {
    for (const name of counted) this.counts[name] += stats[name];
    for (const [into, encoded] of [
      [this.live, stats.liveLatencyMs] as const,
      [this.shadow, stats.shadowLatencyMs] as const,
    ])
      mergeSketch(into, decodeSketch(encoded) ?? emptySketch());
    return counted.some((name) => stats[name] > 0);
  }

  /** Latencies in milliseconds, where there are any. */
  numbers(): Record<string, number> {
    const liveP99Ms = quantile(this.live, 0.99);
    const shadowP99Ms = quantile(this.shadow, 0.99);
    return {
      ...this.counts,
      ...(liveP99Ms === null ? {} : { liveP99Ms }),
      ...(shadowP99Ms === null ? {} : { shadowP99Ms }),
    };
  }
}
