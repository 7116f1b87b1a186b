/**
 * What one version of one model did since it was loaded, in the terms of the protocol's statistics
 * extension. Counts only rise; durations are sums in nanoseconds, so that readers can take differences.
 */
export interface Duration {
  readonly count: number;
  readonly ns: number;
}

/** Runs of one number of rows. */
export interface BatchStatistics {
  readonly rows: number;
  readonly computeInput: Duration;
  readonly computeInfer: Duration;
  readonly computeOutput: Duration;
}

export const failureReasons = ['REJECTED', 'CANCELED', 'BACKEND', 'OTHER'] as const;
export type FailureReason = (typeof failureReasons)[number];

export interface HistogramSnapshot {
  /** Upper bounds in seconds, ascending; the last bucket has none. */
  readonly bounds: readonly number[];
  /** Cumulative counts, one for each bound, then the total. */
  readonly cumulative: readonly number[];
  readonly sumSeconds: number;
}

export interface StatisticsSnapshot {
  /** Unix time in milliseconds of the last answer; 0: none yet. */
  readonly lastInferenceAtMs: number;
  /** Rows answered. */
  readonly rows: number;
  /** Runs of the model. */
  readonly executions: number;
  readonly success: Duration;
  readonly fail: Duration;
  readonly queue: Duration;
  readonly computeInput: Duration;
  readonly computeInfer: Duration;
  readonly computeOutput: Duration;
  readonly cacheHit: Duration;
  readonly cacheMiss: Duration;
  readonly failures: Readonly<Record<FailureReason, number>>;
  readonly batches: readonly BatchStatistics[];
  /** Of whole requests, and of their wait in the queue. */
  readonly request: HistogramSnapshot;
  readonly wait: HistogramSnapshot;
}

/** Of one run of the model, which may have served several requests. */
export interface RunTimes {
  readonly rows: number;
  readonly computeInputNs: number;
  readonly computeInferNs: number;
  readonly computeOutputNs: number;
}

interface Sum {
  count: number;
  ns: number;
}

const zero = (): Sum => ({ count: 0, ns: 0 });

function add(sum: Sum, ns: number): void {
  sum.count += 1;
  sum.ns += Math.round(ns);
}

const boundsSeconds = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

class Histogram {
  private readonly counts = new Array<number>(boundsSeconds.length + 1).fill(0);
  private sumSeconds = 0;

  add(seconds: number): void {
    let bucket = 0;
    while (bucket < boundsSeconds.length && seconds > (boundsSeconds[bucket] ?? 0)) bucket++;
    this.counts[bucket] = (this.counts[bucket] ?? 0) + 1;
    this.sumSeconds += seconds;
  }

  snapshot(): HistogramSnapshot {
    let total = 0;
    const cumulative = this.counts.map((count) => (total += count));
    return { bounds: boundsSeconds, cumulative, sumSeconds: this.sumSeconds };
  }
}

interface BatchSums {
  readonly computeInput: Sum;
  readonly computeInfer: Sum;
  readonly computeOutput: Sum;
}

export class ModelStatistics {
  private lastInferenceAtMs = 0;
  private rows = 0;
  private executions = 0;
  private readonly success = zero();
  private readonly fail = zero();
  private readonly queue = zero();
  private readonly computeInput = zero();
  private readonly computeInfer = zero();
  private readonly computeOutput = zero();
  private readonly cacheHit = zero();
  private readonly cacheMiss = zero();
  private readonly failures: Record<FailureReason, number> = { REJECTED: 0, CANCELED: 0, BACKEND: 0, OTHER: 0 };
  private readonly batches = new Map<number, BatchSums>();
  private readonly request = new Histogram();
  private readonly wait = new Histogram();

  succeeded(latencyMs: number, atMs: number): void {
    add(this.success, latencyMs * 1e6);
    this.request.add(latencyMs / 1000);
    this.lastInferenceAtMs = atMs;
  }

  failed(latencyMs: number, reason: FailureReason): void {
    add(this.fail, latencyMs * 1e6);
    this.failures[reason] += 1;
  }

  /** One request left the queue. */
  waited(queueMs: number): void {
    add(this.queue, queueMs * 1e6);
    this.wait.add(queueMs / 1000);
  }

  /** One run was done for one or more requests. */
  ran({ rows, computeInputNs, computeInferNs, computeOutputNs }: RunTimes): void {
    this.rows += rows;
    this.executions += 1;
    add(this.computeInput, computeInputNs);
    add(this.computeInfer, computeInferNs);
    add(this.computeOutput, computeOutputNs);
    let batch = this.batches.get(rows);
    if (!batch) {
      batch = { computeInput: zero(), computeInfer: zero(), computeOutput: zero() };
      this.batches.set(rows, batch);
    }
    add(batch.computeInput, computeInputNs);
    add(batch.computeInfer, computeInferNs);
    add(batch.computeOutput, computeOutputNs);
  }

  cached(hit: boolean, lookupMs: number): void {
    add(hit ? this.cacheHit : this.cacheMiss, lookupMs * 1e6);
  }

  snapshot(): StatisticsSnapshot {
    return {
      lastInferenceAtMs: this.lastInferenceAtMs,
      rows: this.rows,
      executions: this.executions,
      success: { ...this.success },
      fail: { ...this.fail },
      queue: { ...this.queue },
      computeInput: { ...this.computeInput },
      computeInfer: { ...this.computeInfer },
      computeOutput: { ...this.computeOutput },
      cacheHit: { ...this.cacheHit },
      cacheMiss: { ...this.cacheMiss },
      failures: { ...this.failures },
      batches: [...this.batches]
        .sort(([a], [b]) => a - b)
        .map(([rows, sums]) => ({
          rows,
          computeInput: { ...sums.computeInput },
          computeInfer: { ...sums.computeInfer },
          computeOutput: { ...sums.computeOutput },
        })),
      request: this.request.snapshot(),
      wait: this.wait.snapshot(),
    };
  }
}
