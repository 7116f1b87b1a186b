/** What every broker must do for the control plane, with real MQTT clients over TLS against the real thing. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { MqttClient } from 'mqtt';
import { buildTopic, deviceFilters, type Channel } from '#shared/protocol/topics.js';
import { type BrokerWorld, ended, openEmbedded, openMosquitto, outcomeOf } from '#test/support/broker-worlds.js';
import { addressOf, eventually, FleetWorld } from '#test/support/fleet-world.js';
import { hasOutsideTools } from '#test/support/outside-tool.js';

const topic = (device: string, channel: Channel, id?: string): string =>
  buildTopic({ ...addressOf(device), channel, ...(id === undefined ? {} : { id }) });

const kinds = [
  { name: 'embedded', open: openEmbedded, present: true },
  { name: 'Mosquitto', open: openMosquitto, present: hasOutsideTools('mosquitto') },
];

for (const { name, open, present } of kinds) {
  describe.skipIf(!present)(`the ${name} broker`, () => {
    let world: FleetWorld;
    let brokers: BrokerWorld;
    const passwords = new Map<string, string>();
    const heard: { topic: string; payload: string }[] = [];
    const clients: MqttClient[] = [];

    const connectAs = async (device: string): Promise<MqttClient> => {
      const user = `w/${device}`;
      const client = brokers.client({ clientId: user, username: user, password: passwords.get(device) ?? '' });
      clients.push(client);
      expect(await outcomeOf(client)).toBe('connected');
      return client;
    };

    beforeAll(async () => {
      world = await FleetWorld.open();
      for (const device of ['a', 'b']) passwords.set(device, await world.enrol(device));
      brokers = await open(world);
      brokers.broker.onMessage((text, payload) => heard.push({ topic: text, payload: payload.toString() }));
    });
    afterAll(async () => {
      for (const client of clients) client.end(true);
      await brokers.close();
      await world.close();
    });

    it('carries every channel of a device in its direction', async () => {
      const device = await connectAs('a');
      const got: string[] = [];
      device.on('message', (text) => got.push(text));
      const granted = await device.subscribeAsync(deviceFilters(addressOf('a')), { qos: 1 });
      expect(granted.map(({ qos }) => qos)).not.toContain(128);

      const down = ['desired', 'reportedGet', 'acks', 'blocksData'] as const;
      for (const channel of down) {
        await brokers.broker.publish(topic('a', channel), Buffer.from('x'), { qos: 1, retain: false });
      }
      await brokers.broker.publish(topic('a', 'commandRequest', 'c1'), Buffer.from('x'), { qos: 1, retain: false });
      await eventually('all channels reached the device', () => got.length >= down.length + 1);
      expect(new Set(got)).toEqual(new Set([...down.map((c) => topic('a', c)), topic('a', 'commandRequest', 'c1')]));

      const up = ['desiredGet', 'reported', 'presence', 'telemetry', 'events', 'blocksGet'] as const;
      for (const channel of up) await device.publishAsync(topic('a', channel), `up-${channel}`, { qos: 1 });
      await device.publishAsync(topic('a', 'commandResponse', 'c1'), 'up-response', { qos: 1 });
      await eventually('all channels reached the cloud', () => heard.length >= up.length + 1);
      expect(new Set(heard.map((message) => message.topic))).toEqual(
        new Set([...up.map((c) => topic('a', c)), topic('a', 'commandResponse', 'c1')]),
      );
    });

    it('keeps a retained message for a device that comes later, and forgets it when it is empty', async () => {
      await brokers.broker.publish(topic('b', 'desired'), Buffer.from('kept'), { qos: 1, retain: true });
      const first = await connectAs('b');
      const got: string[] = [];
      first.on('message', (_text, payload) => got.push(payload.toString()));
      await first.subscribeAsync(topic('b', 'desired'), { qos: 1 });
      await eventually('the retained message came', () => got.includes('kept'));
      await first.endAsync();

      await brokers.broker.publish(topic('b', 'desired'), Buffer.alloc(0), { qos: 1, retain: true });
      const second = await connectAs('b');
      const later: string[] = [];
      second.on('message', (_text, payload) => later.push(payload.toString()));
      await second.subscribeAsync(topic('b', 'desired'), { qos: 1 });
      await brokers.broker.publish(topic('b', 'desired'), Buffer.from('marker'), { qos: 1, retain: false });
      await eventually('the marker came', () => later.includes('marker'));
      expect(later).toEqual(['marker']);
      await second.endAsync();
    });

    it('publishes the last will of a device that vanishes', async () => {
      const user = 'w/b';
      const client = brokers.client({
        clientId: user,
        username: user,
        password: passwords.get('b') ?? '',
        will: { topic: topic('b', 'presence'), payload: Buffer.from('gone'), qos: 1, retain: true },
      });
      clients.push(client);
      expect(await outcomeOf(client)).toBe('connected');
      client.stream.destroy();
      await eventually('the will came', () => heard.some(({ payload }) => payload === 'gone'));
    });

    it.each([
      ['a wrong password', { clientId: 'w/a', username: 'w/a', password: 'wrong' }],
      ['no password', { clientId: 'w/a', username: 'w/a' }],
      ['no user name', { clientId: 'w/a' }],
      ['an unknown device', { clientId: 'w/nobody', username: 'w/nobody', password: 'x' }],
      ['a name outside the grammar', { clientId: 'w/+', username: 'w/+', password: 'x' }],
      ['the password of nobody as admin', { clientId: 'x', username: 'admin', password: 'guess' }],
    ])('refuses %s', async (_what, options) => {
      const client = brokers.client(options);
      clients.push(client);
      expect(await outcomeOf(client)).toBe('refused');
    });

    it('gives a device no more by another’s client id than its own rights', async () => {
      const client = brokers.client({ clientId: 'w/b', username: 'w/a', password: passwords.get('a') ?? '' });
      clients.push(client);
      const outcome = await outcomeOf(client);
      // Mosquitto does not bind the client id: the user name alone says whose topics they are.
      if (name === 'embedded') expect(outcome).toBe('refused');
      else {
        const before = heard.length;
        await client.publishAsync(topic('b', 'reported'), 'as b', { qos: 1 });
        await client.publishAsync(topic('a', 'reported'), 'as a', { qos: 1 });
        await eventually('its own came', () => heard.slice(before).some(({ payload }) => payload === 'as a'));
        expect(heard.slice(before).map(({ payload }) => payload)).not.toContain('as b');
      }
      client.end(true);
    });

    it('leaves a connected device undisturbed when a stranger tries its client id', async () => {
      const device = await connectAs('a');
      const got: string[] = [];
      device.on('message', (_text, payload) => got.push(payload.toString()));
      await device.subscribeAsync(topic('a', 'acks'), { qos: 1 });
      for (const options of [{ clientId: 'w/a' }, { clientId: 'w/a', username: 'w/a', password: 'guess' }]) {
        const stranger = brokers.client(options);
        clients.push(stranger);
        expect(await outcomeOf(stranger)).toBe('refused');
      }
      await brokers.broker.publish(topic('a', 'acks'), Buffer.from('marker'), { qos: 1, retain: false });
      await eventually('the device still hears', () => got.includes('marker'));
      await device.endAsync();
    });

    it('never publishes a last will on a topic that is not the device’s to write', async () => {
      const admin = brokers.client({ clientId: 'wills', username: 'admin', password: brokers.adminPassword });
      clients.push(admin);
      expect(await outcomeOf(admin)).toBe('connected');
      const got: string[] = [];
      admin.on('message', (_text, payload) => got.push(payload.toString()));
      await admin.subscribeAsync('#', { qos: 0 });

      for (const will of [topic('b', 'presence'), topic('a', 'desired'), 'elsewhere']) {
        const client = brokers.client({
          clientId: 'w/a',
          username: 'w/a',
          password: passwords.get('a') ?? '',
          will: { topic: will, payload: Buffer.from('forged'), qos: 1, retain: true },
        });
        clients.push(client);
        // The embedded broker refuses the connection; Mosquitto drops the will when it is due.
        const outcome = await outcomeOf(client);
        if (name === 'embedded') expect(outcome, will).toBe('refused');
        client.stream.destroy();
      }
      const device = await connectAs('a');
      await device.publishAsync(topic('a', 'reported'), 'marker', { qos: 1 });
      await eventually('the marker came', () => got.includes('marker'));
      expect(got).not.toContain('forged');
      await device.endAsync();
      await admin.endAsync();
    });

    const foreign: [string, string][] = [
      ['everything', '#'],
      ['one level', '+'],
      ['the broker’s own', '$SYS/#'],
      ['all devices', 'flotilla/v1/+/+/desired'],
      ['another device', topic('b', 'desired')],
      ['another workspace', buildTopic({ workspace: 'other', device: 'a', channel: 'desired' })],
      ['what it sends itself', topic('a', 'reported')],
      ['its whole subtree', 'flotilla/v1/w/a/#'],
    ];
    it.each(foreign)('lets a device hear nothing of others by subscribing to %s', async (_what, filter) => {
      const device = await connectAs('a');
      const got: string[] = [];
      device.on('message', (text) => got.push(text));
      const answer = await device.subscribeAsync(filter, { qos: 1 }).catch(() => 'denied' as const);
      // Mosquitto's ACL file grants any subscription and withholds the messages.
      if (name === 'embedded') expect(answer).toBe('denied');

      await device.subscribeAsync(topic('a', 'acks'), { qos: 1 });
      const other = await connectAs('b');
      await other.publishAsync(topic('b', 'telemetry'), 'secret', { qos: 1 });
      await device.publishAsync(topic('a', 'reported'), 'own', { qos: 1 });
      await brokers.broker.publish(topic('b', 'desired'), Buffer.from('secret'), { qos: 1, retain: false });
      await brokers.broker.publish(topic('a', 'acks'), Buffer.from('marker'), { qos: 1, retain: false });
      await eventually('the marker came', () => got.includes(topic('a', 'acks')));
      expect(new Set(got)).toEqual(new Set([topic('a', 'acks')]));
      await other.endAsync();
      await device.endAsync();
    });

    const forged: [string, string][] = [
      ['its own desired', topic('a', 'desired')],
      ['its own acknowledgements', topic('a', 'acks')],
      ['a command to itself', topic('a', 'commandRequest', 'c9')],
      ['another device’s desired', topic('b', 'desired')],
      ['another device’s report', topic('b', 'reported')],
      ['another workspace', buildTopic({ workspace: 'other', device: 'a', channel: 'reported' })],
      ['outside the grammar', 'flotilla/v1/w/a/else'],
      ['the broker’s own', '$SYS/broker/x'],
    ];
    it.each(forged)('lets a device not publish %s', async (_what, text) => {
      const watcher = brokers.client({
        clientId: `watch-${Math.random().toString(36).slice(2)}`,
        username: 'admin',
        password: brokers.adminPassword,
      });
      clients.push(watcher);
      expect(await outcomeOf(watcher)).toBe('connected');
      const got: string[] = [];
      watcher.on('message', (at, payload) => got.push(`${at} ${payload.toString()}`));
      await watcher.subscribeAsync('#', { qos: 0 });

      const device = await connectAs('a');
      // The embedded broker ends the connection; Mosquitto acknowledges and drops.
      device.publish(text, 'forged', { qos: 1, retain: true });
      if (name === 'embedded') await ended(device);
      const again = name === 'embedded' ? await connectAs('a') : device;
      await again.publishAsync(topic('a', 'reported'), 'marker', { qos: 1 });
      await eventually('the marker came', () => got.some((line) => line.endsWith('marker')));
      expect(got.filter((line) => line.endsWith('forged'))).toEqual([]);
      await again.endAsync();
      await watcher.endAsync();
    });

    it('lets the admin watch everything and publish nothing', async () => {
      const admin = brokers.client({ clientId: 'someone', username: 'admin', password: brokers.adminPassword });
      clients.push(admin);
      expect(await outcomeOf(admin)).toBe('connected');
      const got: string[] = [];
      admin.on('message', (text) => got.push(text));
      await admin.subscribeAsync('#', { qos: 0 });
      await brokers.broker.publish(topic('a', 'acks'), Buffer.from('x'), { qos: 1, retain: false });
      await eventually('the admin saw it', () => got.includes(topic('a', 'acks')));

      const before = heard.length;
      admin.publish(topic('a', 'reported'), 'forged', { qos: 1 });
      const device = await connectAs('a');
      await device.publishAsync(topic('a', 'reported'), 'marker', { qos: 1 });
      await eventually('the marker came', () => heard.slice(before).some(({ payload }) => payload === 'marker'));
      expect(heard.slice(before).filter(({ payload }) => payload === 'forged')).toEqual([]);
      await device.endAsync();
    });

    it('lets a device in as soon as it is enrolled', async () => {
      passwords.set('late', await world.enrol('late'));
      const device = await connectAs('late');
      await device.endAsync();
    });

    it('ends the session of a retired device and refuses it from then on, and keeps the others', async () => {
      passwords.set('old', await world.enrol('old'));
      const old = await connectAs('old');
      const other = await connectAs('b');
      await world.twin.retire(addressOf('old'));
      const gone = ended(old);
      await brokers.access.retired(addressOf('old'));
      await gone;
      const again = brokers.client({ clientId: 'w/old', username: 'w/old', password: passwords.get('old') ?? '' });
      clients.push(again);
      expect(await outcomeOf(again)).toBe('refused');
      expect(other.connected).toBe(true);
      await other.publishAsync(topic('b', 'reported'), 'still here', { qos: 1 });
      await eventually('the other is heard', () => heard.some(({ payload }) => payload === 'still here'));
      await other.endAsync();
    });

    it('ends the older of two connections of one device', async () => {
      const first = await connectAs('a');
      const gone = ended(first);
      const second = await connectAs('a');
      await gone;
      expect(second.connected).toBe(true);
      await second.endAsync();
    });
  });
}
