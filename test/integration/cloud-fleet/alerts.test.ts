/** Alerts over real databases and a real HTTP receiver: fired and cleared once, told at least once, whatever happens between. */
import { createHmac, randomUUID } from 'node:crypto';
import { chmod, writeFile } from 'node:fs/promises';
import { createServer, type IncomingHttpHeaders, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { AlertEngine } from '#cloud/alerts/alert-engine.js';
import type { AlertNotice } from '#cloud/alerts/alert-notice.js';
import { AlertOutbox } from '#cloud/alerts/alert-outbox.js';
import { AlertRepository } from '#cloud/alerts/alert-repository.js';
import { alertRuleSchema } from '#cloud/alerts/alert-rule.js';
import { AlertRules } from '#cloud/alerts/alert-rules.js';
import { readDestinations } from '#cloud/alerts/destinations.js';
import { sendWebhook } from '#cloud/alerts/webhook.js';
import { Metrics } from '#cloud/http/metrics.js';
import { type LiveEvent, LiveEvents } from '#cloud/live/live-events.js';
import { type ControlStore, openControlDatabase } from '#cloud/store/control-database.js';
import { WorkspaceRepository } from '#cloud/store/workspace-repository.js';
import { TelemetryRepository } from '#cloud/telemetry/telemetry-repository.js';
import { SetClock, silent } from '#test/support/fleet-world.js';
import { metricsOf, SayingDevice } from '#test/support/telemetry-batches.js';
import { temporaryFolder } from '#test/support/temporary-folder.js';

const minute = 60_000;
const folder = temporaryFolder();
const secret = Buffer.alloc(32, 7);
const slow = { name: 'slow', metric: 'latency.max', above: 50, by: 'device', over: '1m', notify: ['ops'] };
const alarms = { name: 'alarms', event: 'machine.alarm', by: 'device', over: '5m', notify: ['ops'] };

let opened = 0;
let clock: SetClock;
let control: ControlStore;
let telemetry: TelemetryRepository;
let live: LiveEvent[];
let engine: AlertEngine;
let outbox: AlertOutbox;
let rules: AlertRules;
let receiver: Server;
let received: { headers: IncomingHttpHeaders; body: string }[];
let status: number;

/** As the control plane opens it at a start; what was under way is gone. */
async function start(): Promise<void> {
  control = await openControlDatabase(folder(`control-${String(opened)}.db`));
  telemetry = await TelemetryRepository.open(folder(`telemetry-${String(opened)}.db`));
  await new WorkspaceRepository(control).insert({ name: 'w', createdAt: '2026-01-01T00:00:00.000Z' });
  const alerts = new AlertRepository(control);
  const events = new LiveEvents(() => undefined);
  events.subscribe('w', (event) => live.push(event));
  const url = `http://127.0.0.1:${String((receiver.address() as AddressInfo).port)}/hook`;
  const common = { alerts, clock, logger: silent, live: events };
  outbox = new AlertOutbox({
    ...common,
    destinations: [{ name: 'ops', url, secret }],
    send: sendWebhook,
    random: () => 0,
    deliveries: new Metrics().counter('x', 'x'),
  });
  engine = new AlertEngine({ ...common, telemetry, newId: randomUUID, onNotices: () => undefined });
  const destinations = ['ops'];
  rules = new AlertRules({ ...common, telemetry, newId: randomUUID, destinations, onChanged: () => undefined });
  await engine.begin();
}

async function stop(): Promise<void> {
  await engine.stop();
  await outbox.stop();
  await control.destroy();
  await telemetry.close();
}

async function judge(): Promise<void> {
  engine.wake();
  await engine.idle();
}

async function tell(): Promise<void> {
  outbox.wake();
  await outbox.idle();
}

const apply = (...given: readonly object[]) =>
  rules.apply(
    'w',
    given.map((rule) => alertRuleSchema.parse(rule)),
  );
const notices = (): AlertNotice[] => received.map(({ body }) => JSON.parse(body) as AlertNotice);
const kinds = (): string[] => notices().map(({ type, subject = 'all' }) => `${type} ${subject}`);

beforeEach(async () => {
  opened += 1;
  clock = new SetClock();
  live = [];
  received = [];
  status = 200;
  receiver = createServer((request, response) => {
    let body = '';
    request.setEncoding('utf8').on('data', (piece: string) => (body += piece));
    request.on('end', () => {
      received.push({ headers: request.headers, body });
      response.writeHead(status, { location: '/elsewhere' }).end();
    });
  });
  await new Promise<void>((resolve) => receiver.listen(0, '127.0.0.1', resolve));
  await start();
});
afterEach(async () => {
  await stop();
  receiver.closeAllConnections();
  await new Promise((resolve) => receiver.close(resolve));
});

describe('an alert', () => {
  it('over a metric of a deployment fires for it alone', async () => {
    await apply({ ...slow, device: 'fraud/blue' });
    const at = clock.now();
    await telemetry.ingest([new SayingDevice('cam-1').telemetry(at, { digits: metricsOf([90]) })]);
    for (const [name, ms] of [
      ['fraud/blue', 80],
      ['fraud/green', 70],
    ] as const) {
      await telemetry.ingest([new SayingDevice(name).telemetry(at, { digits: metricsOf([ms]) })]);
    }
    await judge();
    await tell();
    expect(kinds()).toEqual(['alert.fired fraud/blue']);
  });

  it('over a metric fires and clears once for each device, across restarts at any step', async () => {
    const [one, two] = [new SayingDevice('one'), new SayingDevice('two')];
    await apply(slow);
    await telemetry.ingest([one.telemetry(clock.now(), { digits: metricsOf([80]) })]);
    for (let again = 0; again < 3; again++) {
      await judge();
      await stop();
      await start();
    }
    await telemetry.ingest([two.telemetry(clock.now(), { digits: metricsOf([10]) })]);
    await tell();
    clock.nowMs += 3 * minute;
    await telemetry.ingest([one.telemetry(clock.now(), { digits: metricsOf([20]) })]);
    for (let again = 0; again < 3; again++) {
      await judge();
      await stop();
      await start();
    }
    await tell();
    expect(kinds()).toEqual(['alert.fired one', 'alert.cleared one']);
    const [fired, cleared] = notices();
    expect(fired).toMatchObject({ workspace: 'w', rule: 'slow', metric: 'latency.max', value: 80, threshold: 50 });
    expect(cleared?.incident).toBe(fired?.incident);
    expect(cleared?.id).not.toBe(fired?.id);
    expect(live.map(({ type, subject }) => [type, subject])).toEqual([
      ['alert.changed', 'slow'],
      ['alert.changed', 'slow'],
    ]);
  });

  it('over events sees each once, from when its rule was applied, though the store lost its last moments', async () => {
    const device = new SayingDevice('press');
    await telemetry.ingest([device.events(clock.now(), 'machine.alarm')]);
    await apply(alarms, { ...alarms, name: 'many', count: 3, by: 'module' });
    await judge();
    await tell();
    expect(kinds()).toEqual([]);
    await telemetry.ingest([device.events(clock.now(), 'machine.alarm', 'other', 'machine.alarm')]);
    await judge();
    await judge();
    await stop();
    await start();
    await judge();
    await telemetry.ingest([device.events(clock.now(), 'machine.alarm')]);
    await judge();
    await tell();
    expect(kinds()).toEqual(['alert.fired press', 'alert.fired digits']);
    clock.nowMs += 5 * minute;
    await judge();
    await tell();
    expect(kinds().slice(2).sort()).toEqual(['alert.cleared digits', 'alert.cleared press']);
    // A power cut took the telemetry database back; numbers of events are given anew.
    await stop();
    opened += 1;
    const lost = opened;
    opened -= 1;
    control = await openControlDatabase(folder(`control-${String(opened)}.db`));
    await control.updateTable('alertCursors').set({ eventId: 1000 }).execute();
    await control.destroy();
    expect(lost).toBeGreaterThan(opened);
    await start();
    await telemetry.ingest([device.events(clock.now(), 'machine.alarm')]);
    await judge();
    await tell();
    expect(kinds().slice(4)).toEqual(['alert.fired press']);
  });

  it('is over when its rule changes or goes, and an unchanged rule goes on', async () => {
    await apply(slow);
    await telemetry.ingest([new SayingDevice('one').telemetry(clock.now(), { digits: metricsOf([80]) })]);
    await judge();
    expect(await apply(slow)).toEqual([{ name: 'slow', outcome: 'unchanged' }]);
    expect(await apply({ ...slow, above: 60 })).toEqual([{ name: 'slow', outcome: 'changed' }]);
    await judge();
    await rules.remove('w', 'slow');
    await judge();
    await tell();
    expect(kinds()).toEqual(['alert.fired one', 'alert.cleared one', 'alert.fired one', 'alert.cleared one']);
    expect(notices().map(({ reason }) => reason)).toEqual([
      ...[undefined, 'the rule was changed', undefined, 'the rule was deleted'],
    ]);
    await expect(rules.remove('w', 'slow')).rejects.toMatchObject({ code: 'alert.not-found' });
  });

  it('that nothing applies for is refused whole', async () => {
    const applied = apply(alarms, { ...slow, notify: ['opps'] });
    await expect(applied).rejects.toThrow(/rule "slow": notify: there is no destination "opps"; did you mean "ops"/);
    expect(await new AlertRepository(control).rules('w')).toEqual([]);
  });
});

describe('a notice', () => {
  it('is signed as Standard Webhooks has it, and no redirect is followed', async () => {
    await apply(alarms);
    await rules.test('w', 'alarms');
    status = 302;
    await tell();
    const [{ headers, body } = { headers: {}, body: '' }] = received;
    const id = String(headers['webhook-id']);
    const signed = `${id}.${String(headers['webhook-timestamp'])}.${body}`;
    expect(headers['webhook-signature']).toBe(`v1,${createHmac('sha256', secret).update(signed).digest('base64')}`);
    expect(JSON.parse(body)).toMatchObject({ id, type: 'alert.test', value: null });
    expect(received).toHaveLength(1);
  });

  it('that is not taken comes again with the same id, later and later, in order, across restarts', async () => {
    await apply(alarms);
    await rules.test('w', 'alarms');
    await rules.test('w', 'alarms');
    status = 500;
    for (let again = 0; again < 3; again++) {
      await tell();
      await tell();
      await stop();
      await start();
      clock.nowMs += minute;
    }
    expect(new Set(notices().map(({ id }) => id)).size).toBe(1);
    expect(received).toHaveLength(3);
    status = 204;
    await tell();
    expect(new Set(notices().map(({ id }) => id)).size).toBe(2);
    expect(received).toHaveLength(5);
    await tell();
    expect(received).toHaveLength(5);
    // The log and the stream had each of them once, at once.
    expect(live).toHaveLength(2);
  });

  it('is given up after a day', async () => {
    await apply(alarms);
    await rules.test('w', 'alarms');
    status = 500;
    await tell();
    clock.nowMs += 25 * 60 * minute;
    await tell();
    status = 200;
    clock.nowMs += 60 * minute;
    await tell();
    expect(received).toHaveLength(2);
  });
});

describe('the file of destinations', () => {
  const key = `whsec_${secret.toString('base64')}`;
  async function read(text: string, mode = 0o600): Promise<unknown> {
    const path = folder(`destinations-${randomUUID()}.yaml`);
    await writeFile(path, text);
    await chmod(path, mode);
    return readDestinations(path).then(
      (found) => found.map(({ name, url }) => [name, url]),
      (error: unknown) => String(error),
    );
  }

  it('names webhooks', async () => {
    const text = `ops: {url: "https://a.example/x", secret: "${key}"}\nlocal: {url: "http://127.0.0.1:1/", secret: "${key}"}`;
    expect(await read(text)).toEqual([
      ['ops', 'https://a.example/x'],
      ['local', 'http://127.0.0.1:1/'],
    ]);
    expect(await readDestinations(undefined)).toEqual([]);
  });

  it.each([
    ['http elsewhere', `ops: {url: "http://a.example/", secret: "${key}"}`, 'url must be https, or http on loopback'],
    ['another scheme', `ops: {url: "file:///etc/passwd", secret: "${key}"}`, 'url must be https'],
    ['a password', `ops: {url: "https://u:p@a.example/", secret: "${key}"}`, 'must not carry a password'],
    ['a short secret', 'ops: {url: "https://a.example/", secret: "whsec_AAAA"}', 'base64 of 24 to 64 bytes'],
    ['an unknown field', `ops: {url: "https://a.example/", secrt: "${key}"}`, 'did you mean "secret"?'],
    ['no url', `ops: {secret: "${key}"}`, 'it needs url and secret'],
    ['a wrong name', `"O ps": {url: "https://a.example/", secret: "${key}"}`, 'a name is'],
    ['no mapping', '- 1', 'must map names'],
  ])('with %s is refused, and shows no secret', async (_what, text, message) => {
    const said = String(await read(text));
    expect(said).toContain(message);
    expect(said).not.toContain(secret.toString('base64'));
  });

  it('that others may read is refused', async () => {
    expect(await read(`ops: {url: "https://a.example/", secret: "${key}"}`, 0o644)).toMatch(/chmod 600/);
    await expect(readDestinations(folder('absent.yaml'))).rejects.toMatchObject({ code: 'config.invalid' });
  });
});
