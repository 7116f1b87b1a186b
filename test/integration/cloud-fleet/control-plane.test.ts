/** The whole control plane with one device of plain MQTT, on the embedded broker and, by configuration alone, on Mosquitto. */
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect } from 'mqtt';
import { afterEach, describe, expect, it } from 'vitest';
import { makeDeviceKeys } from '#agent/identity/device-keys.js';
import { enrolmentResponseSchema } from '#shared/protocol/enrolment.js';
import { deviceFilters } from '#shared/protocol/topics.js';
import { loadConfig } from '#cloud/config.js';
import { type RunningCloud, startCloud } from '#cloud/main.js';
import { ownPort } from '#test/support/own-port.js';
import { capabilities, eventually, showKeys, silent } from '#test/support/fleet-world.js';
import { findTool, hasOutsideTools } from '#test/support/outside-tool.js';

const at = '2026-01-01T00:00:00.000Z';
const undo: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (let step = undo.pop(); step; step = undo.pop()) await step();
});

async function start(flags: Record<string, string>): Promise<RunningCloud & { folder: string }> {
  const folder = await mkdtemp(join(tmpdir(), 'flotilla-cloud-'));
  undo.push(() => rm(folder, { recursive: true, force: true }));
  const config = loadConfig({
    flags: {
      'data-dir': folder,
      'http-port': '0',
      'http-tls': 'off',
      'gateway-port': '0',
      'broker-port': '0',
      ...flags,
    },
    environment: {},
  });
  const cloud = await startCloud(config, silent, '0.0.0-test');
  undo.push(() => cloud.stop());
  return { ...cloud, folder };
}

async function runMosquitto(folder: string): Promise<void> {
  const config = join(folder, 'broker', 'mosquitto', 'mosquitto.conf');
  const child: ChildProcess = spawn(findTool('mosquitto') ?? '', ['-c', config], { stdio: 'ignore' });
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  undo.push(async () => {
    child.kill('SIGTERM');
    await exited;
  });
}

const kinds = [
  { name: 'the embedded broker', present: true, start: () => start({}) },
  {
    name: 'Mosquitto',
    present: hasOutsideTools('mosquitto'),
    start: async () => {
      const port = String(await ownPort());
      const cloud = await start({ 'broker-kind': 'external', 'broker-url': `mqtts://127.0.0.1:${port}` });
      await runMosquitto(cloud.folder);
      return cloud;
    },
  },
];

for (const { name, present, start: startKind } of kinds) {
  describe.skipIf(!present)(`a control plane on ${name}`, () => {
    it('enrols a device, hears it, and shows it over the API', async () => {
      const cloud = await startKind();
      const api = async (method: string, path: string, body?: unknown): Promise<{ status: number; body: never }> => {
        const response = await fetch(`${cloud.addresses.http}/v1${path}`, {
          method,
          headers: { authorization: `Bearer ${cloud.ownerToken ?? ''}`, 'content-type': 'application/json' },
          ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        });
        return { status: response.status, body: (await response.json()) as never };
      };
      const w = '/workspaces/default';
      await eventually(
        'the broker is there',
        async () => (await fetch(`${cloud.addresses.http}/readyz`)).status === 200,
      );
      expect((await api('GET', '/server')).body).toMatchObject({ gatewayUrl: cloud.addresses.gateway });

      const token = await api('POST', `${w}/enrolment-tokens`, { tags: { site: 'lab' } });
      expect(token.status).toBe(201);
      const secret = (token.body as { secret: string }).secret;
      const keys = makeDeviceKeys();
      const enrolled = await enrol(cloud.addresses.gateway, {
        workspace: 'default',
        secret,
        device: 'cam-1',
        ...(await showKeys(keys, 'default', 'cam-1')),
        tags: {},
        capabilities,
      });

      const device = connect(enrolled.broker.url, {
        clientId: 'default/cam-1',
        cert: enrolled.certificate,
        key: keys.privateKey,
        ca: await readFile(join(cloud.folder, 'keys', 'authority.crt')),
        servername: enrolled.broker.serverName,
        reconnectPeriod: 100,
      });
      undo.push(() => device.endAsync(true));
      const got: { topic: string; body: unknown }[] = [];
      device.on('message', (topic, payload) => {
        // An empty retained message clears the last one, as when a device is retired.
        if (payload.length > 0) got.push({ topic, body: JSON.parse(payload.toString()) as unknown });
      });
      await eventually('the device is let in', () => device.connected);
      await device.subscribeAsync(deviceFilters({ workspace: 'default', device: 'cam-1' }), { qos: 1 });
      const root = 'flotilla/v1/default/cam-1';
      const say = (channel: string, message: object): Promise<unknown> =>
        device.publishAsync(`${root}/${channel}`, JSON.stringify({ schema: 1, bootId: 1, ...message }), { qos: 1 });
      await say('presence', { online: true, agentVersion: '1', since: at });
      await say('reported', { sequence: 1, at, state: { generation: 0, converged: true } });
      await say('events', { sequence: 1, at, events: [{ at, level: 'info', type: 'hello', message: 'hi' }] });
      await eventually(
        'both were acknowledged',
        () => got.filter(({ topic }) => topic === `${root}/acks`).length === 2,
      );

      expect((await api('GET', `${w}/devices/cam-1`)).body).toMatchObject({
        online: true,
        tags: { site: 'lab' },
        reported: { converged: true },
      });
      expect((await api('GET', `${w}/devices`)).body).toMatchObject({ items: [{ name: 'cam-1' }] });
      expect((await api('GET', `${w}/devices/cam-1/events`)).body).toMatchObject({ items: [{ message: 'hi' }] });
      expect((await api('GET', `${w}/devices/cam-1/telemetry`)).body).toMatchObject({ batches: 0, modules: [] });
      expect((await api('PATCH', `${w}/devices/cam-1`, { tags: { line: '3', site: null } })).body).toMatchObject({
        tags: { line: '3' },
      });
      expect(await api('PUT', `${w}/devices/cam-1/modules/m`, { image: 'none:1' })).toMatchObject({
        status: 404,
        body: { code: 'image.not-found' },
      });
      expect(await api('GET', `${w}/devices/nobody`)).toMatchObject({
        status: 404,
        body: { code: 'device.not-found' },
      });
      expect(await api('POST', `${w}/devices/cam-1/commands`, { operation: 'ping', timeoutSeconds: 1 })).toMatchObject({
        status: 504,
        body: { code: 'device.timeout' },
      });
      expect(got.some(({ topic }) => topic.startsWith(`${root}/commands/`))).toBe(true);

      const closed = new Promise<void>((resolve) => device.once('close', () => resolve()));
      expect((await api('POST', `${w}/devices/cam-1/retire`)).body).toMatchObject({ online: false });
      await closed;
      expect(await api('POST', `${w}/devices/cam-1/retire`)).toMatchObject({ status: 409 });
    });
  });
}

function enrol(gateway: string, body: object): Promise<ReturnType<typeof enrolmentResponseSchema.parse>> {
  return new Promise((resolve, reject) => {
    const sent = request(
      `${gateway}/v1/enrol`,
      // The pinning of the certificate is tested with the gateway itself.
      { method: 'POST', rejectUnauthorized: false, agent: false, headers: { 'content-type': 'application/json' } },
      (response) => {
        let text = '';
        response.on('data', (chunk: Buffer) => {
          text += chunk.toString();
        });
        response.on('end', () => resolve(enrolmentResponseSchema.parse(JSON.parse(text))));
      },
    );
    sent.on('error', reject);
    sent.end(JSON.stringify(body));
  });
}
