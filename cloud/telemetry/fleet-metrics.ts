/** What modules of all devices did, as Prometheus reads it: by workspace, module and version, since this process began. */
import { decodeSketch, histogramOf } from '#shared/protocol/sketch.js';
import { latencyBoundsMs } from './fleet-totals.js';
import type { Counter, Histogram, Metrics } from '#cloud/http/metrics.js';
import type { ToldModule } from './untold.js';

const msPerSecond = 1000;

export class FleetMetrics {
  private readonly requests: Counter;
  private readonly errors: Counter;
  private readonly latency: Histogram;

  constructor(metrics: Metrics) {
    this.requests = metrics.counter('flotilla_module_requests_total', 'Requests that modules on devices took.');
    this.errors = metrics.counter('flotilla_module_errors_total', 'Requests that failed there, by error code.');
    this.latency = metrics.histogram(
      'flotilla_module_latency_seconds',
      'Latency of requests that modules on devices answered.',
      latencyBoundsMs.map((bound) => bound / msPerSecond),
    );
  }

  /** What was new, once. */
  add(told: readonly ToldModule[]): void {
    for (const { workspace, module, version, requests, errors, latency } of told) {
      const labels = { workspace, module, version: String(version) };
      this.requests.add(labels, requests);
      for (const [code, count] of Object.entries(errors)) this.errors.add({ ...labels, code }, count);
      const sketch = decodeSketch(latency);
      if (sketch && sketch.count > 0) {
        this.latency.add(labels, histogramOf(sketch, latencyBoundsMs), sketch.sum / msPerSecond);
      }
    }
  }
}
