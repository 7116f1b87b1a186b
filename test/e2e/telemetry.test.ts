import { cp, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { AlertNotice } from '#cloud/alerts/alert-notice.js';
import type { SeriesBody, TelemetryBody } from '#cloud/http/schemas/telemetry.js';
import { ownPort } from '#test/support/own-port.js';
import { WebhookReceiver } from '#test/support/webhook-receiver.js';
import { repository, World } from '../support/world.js';

const rules = `rules:
  - name: asked
    metric: requests
    module: digits
    by: device
    above: 2
    over: 1h
    notify: [ops]
  - name: staged
    event: module.staged
    by: device
    over: 7d
    notify: [ops]
`;
const telemetry = `
telemetry:
  samplesPerSecond: 1000
  inputs: [{ name: image }]
  outputs: [{ name: label, as: categories }, { name: probabilities, as: argmax }]
`;

describe('what a device measures', () => {
  let world: World;
  let receiver: WebhookReceiver<AlertNotice>;
  beforeAll(async () => {
    receiver = await WebhookReceiver.open();
    world = await World.create({
      operatorInProcess: true,
      cloud: () => ({
        FLOTILLA_ALERTS_DESTINATIONS_FILE: join(world.folder, 'destinations.yaml'),
        FLOTILLA_ALERTS_EVERY_SECONDS: '1',
      }),
    });
    await writeFile(join(world.folder, 'destinations.yaml'), receiver.destinations, { mode: 0o600 });
    await world.open();
    await world.enrol('cam-1');
    await world.startAgent('cam-1', await ownPort());
  });
  afterAll(async () => {
    await world.close();
    receiver.close();
  });

  const until = async <T>(what: string, look: () => Promise<T | undefined>): Promise<T> => {
    const daemon = world.cloud;
    if (!daemon) throw new Error('the control plane is not there');
    return daemon.until(what, 30_000, look);
  };

  it('is there to be asked for, and has alerts fire once, though the control plane is killed', async () => {
    const module = join(world.folder, 'digits');
    await cp(join(repository, 'modules/digits'), module, { recursive: true });
    await writeFile(join(module, 'module.yaml'), (await readFile(join(module, 'module.yaml'), 'utf8')) + telemetry);
    await writeFile(join(world.folder, 'rules.yaml'), rules);
    await world.flotilla('alert', 'apply', '-f', join(world.folder, 'rules.yaml'));
    await world.flotilla('image', 'build', module);
    await world.flotilla('deploy', 'digits:1', '--device', 'cam-1');
    const vectors = JSON.parse(await readFile(join(module, 'golden.json'), 'utf8')) as { request: unknown }[];
    await writeFile(join(world.folder, 'input.json'), JSON.stringify(vectors[0]?.request));
    const score = ['score', '--device', 'cam-1', '--module', 'digits', '--input', join(world.folder, 'input.json')];
    for (let n = 0; n < 3; n++) await world.flotilla(...score);

    const fired = async (): Promise<string[] | undefined> =>
      receiver.notices.length < 2
        ? undefined
        : receiver.notices.map(({ type, rule, subject = '' }) => `${type} ${rule} ${subject}`).sort();
    expect(await until('firing', fired)).toEqual(['alert.fired asked cam-1', 'alert.fired staged cam-1']);
    const { modules } = (await world.flotillaJson('telemetry', 'cam-1')) as TelemetryBody;
    expect(modules[0]?.tensors?.map(({ side, name }) => `${side} ${name}`)).toEqual([
      ...['input image', 'output label', 'output probabilities'],
    ]);
    expect(modules[0]?.computeMs?.p50).toBeGreaterThan(0);
    const series = (await world.flotillaJson('telemetry', '--metric', 'requests', '--by', 'version')) as SeriesBody;
    expect(
      series.series.map(({ name, values }) => [name, values.reduce<number>((sum, value) => sum + (value ?? 0), 0)]),
    ).toEqual([['digits:1', 3]]);

    world.cloud?.kill('SIGKILL');
    await world.cloud?.exited;
    await world.startCloud();
    await world.flotilla('alert', 'test', 'asked');
    await until('telling of the test', async () => receiver.notices.find(({ type }) => type === 'alert.test'));
    expect(new Set(receiver.notices.map(({ id }) => id)).size).toBe(3);
    const { alerts } = (await world.flotillaJson('alert', 'list')) as { alerts: { rule: string; state: string }[] };
    expect(alerts.map(({ rule, state }) => `${rule} ${state}`)).toEqual(['asked firing', 'staged firing']);
  });
});
