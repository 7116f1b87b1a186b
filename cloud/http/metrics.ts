/**
 * Prometheus text exposition (version 0.0.4) of counters that this process keeps and of gauges that are
 * asked when somebody scrapes. Features add their own through {@link Metrics.gauge}.
 */

export type Labels = Readonly<Record<string, string>>;

export interface Sample {
  readonly labels?: Labels;
  readonly value: number;
}

export interface Counter {
  add(labels: Labels, amount?: number): void;
}

interface Family {
  readonly name: string;
  readonly help: string;
  readonly type: 'counter' | 'gauge';
  collect(): readonly Sample[] | Promise<readonly Sample[]>;
}

export class Metrics {
  private readonly families = new Map<string, Family>();

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
    const lines: string[] = [];
    for (const family of this.families.values()) {
      lines.push(`# HELP ${family.name} ${family.help}`, `# TYPE ${family.name} ${family.type}`);
      for (const sample of await family.collect()) {
        lines.push(`${family.name}${labelText(sample.labels ?? {})} ${String(sample.value)}`);
      }
    }
    return `${lines.join('\n')}\n`;
  }

  private add(family: Family): void {
    if (this.families.has(family.name)) throw new Error(`metric ${family.name} added twice`);
    this.families.set(family.name, family);
  }
}

function labelText(labels: Labels): string {
  const pairs = Object.entries(labels).map(([name, value]) => `${name}="${escapeLabel(value)}"`);
  return pairs.length === 0 ? '' : `{${pairs.join(',')}}`;
}

function escapeLabel(value: string): string {
  return value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');
}
