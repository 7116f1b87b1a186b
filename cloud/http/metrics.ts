/**
 * Prometheus text exposition (version 0.0.4) of counters that this process keeps and of gauges that are
 * asked when somebody scrapes. Features add their own through {@link Metrics.gauge}.
 */
import { type Family, type Labels, labelText, type Sample, writeExposition } from '#shared/platform/exposition.js';

export type { Labels, Sample };

export interface Counter {
  add(labels: Labels, amount?: number): void;
}

interface LiveFamily extends Omit<Family, 'samples'> {
  collect(): readonly Sample[] | Promise<readonly Sample[]>;
}

export class Metrics {
  private readonly families = new Map<string, LiveFamily>();

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

  /** `collect` is called at every scrape. */
  gauge(name: string, help: string, collect: () => readonly Sample[] | Promise<readonly Sample[]>): void {
    this.add({ name, help, type: 'gauge', collect });
  }

  async render(): Promise<string> {
    const families: Family[] = [];
    for (const { name, help, type, collect } of this.families.values()) {
      families.push({ name, help, type, samples: await collect() });
    }
    return writeExposition(families);
  }

  private add(family: LiveFamily): void {
    if (this.families.has(family.name)) throw new Error(`metric ${family.name} added twice`);
    this.families.set(family.name, family);
  }
}
