/**
 * A control plane's alerts alone, over the databases of a folder, to be killed: one event after the other comes, fires, and
 * is over, by a clock that the count of events drives. Ends by itself once there were so many.
 *
 * Arguments: folder, URL of the webhook, how many events.
 */
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { pino } from 'pino';
import { AlertEngine } from '#cloud/alerts/alert-engine.js';
import { AlertOutbox } from '#cloud/alerts/alert-outbox.js';
import { AlertRepository } from '#cloud/alerts/alert-repository.js';
import { alertRuleSchema } from '#cloud/alerts/alert-rule.js';
import { AlertRules } from '#cloud/alerts/alert-rules.js';
import { sendWebhook } from '#cloud/alerts/webhook.js';
import { Metrics } from '#cloud/http/metrics.js';
import { LiveEvents } from '#cloud/live/live-events.js';
import { openControlDatabase } from '#cloud/store/control-database.js';
import { WorkspaceRepository } from '#cloud/store/workspace-repository.js';
import { TelemetryRepository } from '#cloud/telemetry/telemetry-repository.js';
import { encodeMessage } from '#shared/protocol/decode.js';
import { systemClock } from '#shared/kernel/clock.js';

const [folder = '', url = '', wanted = '0'] = process.argv.slice(2);
const minute = 60_000;
const at = '2026-01-01T00:00:00.000Z';
const base = Date.parse(at);

const control = await openControlDatabase(join(folder, 'control.db'));
const telemetry = await TelemetryRepository.open(join(folder, 'telemetry.db'));
await new WorkspaceRepository(control).insert({ name: 'w', createdAt: at });
let now = base;
const clock = { ...systemClock, now: () => now };
const logger = pino({ level: 'silent' });
const alerts = new AlertRepository(control);
const engine = new AlertEngine({ alerts, telemetry, clock, newId: randomUUID, logger, onNotices: () => undefined });
const outbox = new AlertOutbox({
  ...{ alerts, clock, logger, send: sendWebhook, random: () => 0, live: new LiveEvents(() => undefined) },
  destinations: [{ name: 'ops', url, secret: Buffer.alloc(32) }],
  deliveries: new Metrics().counter('x', 'x'),
});
const rules = new AlertRules({
  ...{ alerts, telemetry, clock, newId: randomUUID, destinations: ['ops'], onChanged: () => undefined },
});

const judge = async (): Promise<void> => {
  engine.wake();
  await engine.idle();
};
const tell = async (): Promise<void> => {
  outbox.wake();
  await outbox.idle();
};

await engine.begin();
await rules.apply('w', [alertRuleSchema.parse({ name: 'alarms', event: 'alarm', over: '5m', notify: ['ops'] })]);
process.stdout.write('ready\n');
for (;;) {
  const { newest } = await telemetry.newEvents({ workspace: 'w', after: 0, limit: 1 });
  now = base + newest * 6 * minute + 5 * minute;
  // What came before a kill fires with the first look, and is over with the second.
  await judge();
  await judge();
  await tell();
  if (newest >= Number(wanted)) break;
  const next = newest + 1;
  now = base + next * 6 * minute;
  const event = { at, level: 'warn', type: 'alarm', message: 'x' };
  const payload = encodeMessage({ schema: 1, bootId: next, sequence: 1, at, events: [event] });
  await telemetry.ingest([{ workspace: 'w', device: 'press', kind: 'events', receivedAt: now, payload }]);
  await judge();
  await tell();
}
await control.destroy();
await telemetry.close();
