/** Alerts: rules judged when events come and every few seconds, notices told from the outbox. */
import { randomUUID } from 'node:crypto';
import { AlertEngine } from '#cloud/alerts/alert-engine.js';
import { AlertOutbox } from '#cloud/alerts/alert-outbox.js';
import { AlertRepository } from '#cloud/alerts/alert-repository.js';
import { AlertRules } from '#cloud/alerts/alert-rules.js';
import { readDestinations } from '#cloud/alerts/destinations.js';
import { sendWebhook } from '#cloud/alerts/webhook.js';
import type { Routes } from '#cloud/http/app.js';
import { alertRoutes } from '#cloud/http/routes/alert-routes.js';
import { startRecurring } from '#cloud/lifecycle/recurring.js';
import type { TelemetryPort } from '#cloud/telemetry/telemetry-port.js';
import type { Ground } from './ground.js';

export interface WiredAlerts {
  readonly routes: Routes;
  /** Devices said something new. */
  eventsCame(): void;
}

/** How soon a notice that is due again is sent. */
const outboxEveryMs = 2_000;

/** Before the broker opens: what comes then is judged. */
export async function wireAlerts(ground: Ground, telemetry: TelemetryPort): Promise<WiredAlerts> {
  const { config, clock, control, live, logger, metrics, shutdown } = ground;
  const destinations = await readDestinations(config.alerts.destinationsFile);
  const alerts = new AlertRepository(control);
  const outbox = new AlertOutbox({
    ...{ alerts, destinations, send: sendWebhook, clock, random: Math.random, live, logger },
    deliveries: metrics.counter('flotilla_alert_deliveries_total', 'Notices of alerts to destinations, by outcome.'),
  });
  const engine = new AlertEngine({
    ...{ alerts, telemetry, clock, newId: randomUUID, logger },
    onNotices: () => outbox.wake(),
  });
  metrics.gauge('flotilla_alerts_firing', 'Alerts that fire.', async () =>
    (await alerts.countFiring()).map(({ workspace, count }) => ({ labels: { workspace }, value: count })),
  );
  await engine.begin();
  shutdown.add('notices of alerts', () => outbox.stop());
  shutdown.add('alerts', () => engine.stop());
  const wakers = [
    { name: 'judging of alerts', everyMs: config.alerts.everySeconds * 1000, run: async () => engine.wake() },
    { name: 'telling of alerts', everyMs: outboxEveryMs, run: async () => outbox.wake() },
  ];
  for (const task of wakers) shutdown.add(task.name, startRecurring(task, clock, logger));
  outbox.wake();
  engine.wake();
  const rules = new AlertRules({
    ...{ alerts, telemetry, clock, newId: randomUUID, destinations: destinations.map(({ name }) => name) },
    onChanged: () => {
      engine.wake();
      outbox.wake();
    },
  });
  return { routes: alertRoutes({ alerts, rules }), eventsCame: () => engine.eventsCame() };
}
