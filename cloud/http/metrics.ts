/**
 * Prometheus text exposition (version 0.0.4) of counters that this process keeps and of gauges that are
 * asked when somebody scrapes. Features add their own through {@link Metrics.gauge}.
 */
import { type Family, type Labels, labelText, type Sample, writeExposition } from '#shared/platform/exposition.js';

export type { Labels, Sample };

export interface Counter {
  add(labels: Labels, amount?: number): void;
}

export interface Histogram {
  /** @param counts one a bucket, not cumulative, the last for what is beyond all bounds */
  add(labels: Labels, counts: readonly number[], sum: number): void;
}

interface LiveFamily extends Omit<Family, 'samples'> {
  collect(): readonly Sample[] | Promise<readonly Sample[]>;
}

export class Metrics {
  private readonly families = new Map<string, LiveFamily>();
  private readonly others: (() => Promise<readonly Family[]>)[] = [];

  counter(name: string, help: string): Counter {
    const counts = new Map<string, { labels: Labels; value: number }>();
    this.add({ name, help, type: 'counter', collect: () => [...counts.values()] });
    return {
      add: (labels, amount = 1) => {
        const key = labelText(labels);
        const count = counts.get(key) ?? { labels, value: 0 };
        count.value += amount;
        counts.set(key, count);
      },
    };
  }

  /** @param bounds upper ones, ascending */
  histogram(name: string, help: string, bounds: readonly number[]): Histogram {
    const kept = new Map<string, { labels: Labels; counts: number[]; sum: number }>();
    const samplesOf = ({ labels, counts, sum }: { labels: Labels; counts: number[]; sum: number }): Sample[] => {
      let total = 0;
      const buckets = counts.map((count, index) => {
        const le = index < bounds.length ? String(bounds[index]) : '+Inf';
        total += count;
        return { suffix: '_bucket', labels: { ...labels, le }, value: total };
      });
      return [...buckets, { suffix: '_sum', labels, value: sum }, { suffix: '_count', labels, value: total }];
    };
    this.add({ name, help, type: 'histogram', collect: () => [...kept.values()].flatMap(samplesOf) });
    return {
      add: (labels, counts, sum) => {
        const key = labelText(labels);
        const zeros = new Array<number>(bounds.length + 1).fill(0);
        const own = kept.get(key) ?? { labels, counts: zeros, sum: 0 };
        for (const [index, count] of counts.entries()) own.counts[index] = (own.counts[index] ?? 0) + count;
        own.sum += sum;
        kept.set(key, own);
      },
    };
  }

  /** `collect` is called at every scrape. */
  gauge(name: string, help: string, collect: () => readonly Sample[] | Promise<readonly Sample[]>): void {
    this.add({ name, help, type: 'gauge', collect });
  }

  /** Families that another process keeps, asked for at every scrape; none where it does not answer. */
  include(others: () => Promise<readonly Family[]>): void {
    this.others.push(others);
  }

  async render(): Promise<string> {
    const families: Family[] = [];
    for (const { name, help, type, collect } of this.families.values()) {
      families.push({ name, help, type, samples: await collect() });
    }
    for (const others of this.others) families.push(...(await others()));
    return writeExposition(families);
  }

  private add(family: LiveFamily): void {
    if (this.families.has(family.name)) throw new Error(`metric ${family.name} added twice`);
    this.families.set(family.name, family);
  }
}
