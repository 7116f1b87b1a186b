import type { App } from '../app.js';
import type { Metrics } from '../metrics.js';

/** Counts by route pattern, never by URL: labels must stay few. */
export function addRequestMetrics(app: App, metrics: Metrics): void {
  const requests = metrics.counter('flotilla_http_requests_total', 'Requests answered, by route, method and status.');
  app.addHook('onResponse', async (request, reply) => {
    requests.add({
      route: request.routeOptions.url ?? 'none',
      method: request.method,
      status: String(reply.statusCode),
    });
  });
}
