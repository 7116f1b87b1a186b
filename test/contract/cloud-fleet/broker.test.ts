/** What every broker must do for the control plane, with real MQTT clients over TLS against the real thing. */
import { generateKeyPairSync, X509Certificate } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { IClientOptions, MqttClient } from 'mqtt';
import { buildTopic, deviceFilters, type Channel } from '#shared/protocol/topics.js';
import { CertificateRepository } from '#cloud/fleet/certificate-repository.js';
import { CertificateIssuer } from '#cloud/trust/certificate-issuer.js';
import { createAuthority, type KeyedCertificate } from '#cloud/trust/certificates.js';
import {
  type BrokerWorld,
  ended,
  openEmbedded,
  openEmbeddedWebSocket,
  openMosquitto,
  outcomeOf,
} from '#test/support/broker-worlds.js';
import { addressOf, eventually, FleetWorld } from '#test/support/fleet-world.js';
import { hasOutsideTools } from '#test/support/outside-tool.js';
import { asIssuer, type CertificateOptions, testAuthority, testCertificate } from '#test/support/test-certificates.js';

const topic = (device: string, channel: Channel, id?: string): string =>
  buildTopic({ ...addressOf(device), channel, ...(id === undefined ? {} : { id }) });

const kinds = [
  { name: 'embedded', open: openEmbedded, present: true },
  { name: 'embedded, by WebSocket,', open: openEmbeddedWebSocket, present: true },
  { name: 'Mosquitto', open: openMosquitto, present: hasOutsideTools('mosquitto') },
];

for (const { name, open, present } of kinds) {
  const embedded = name !== 'Mosquitto';
  describe.skipIf(!present)(`the ${name} broker`, () => {
    let world: FleetWorld;
    let brokers: BrokerWorld;
    const devices = new Map<string, KeyedCertificate>();
    const heard: { topic: string; payload: string }[] = [];
    const clients: MqttClient[] = [];

    const clientOf = (who: KeyedCertificate | undefined, options: IClientOptions = {}): MqttClient => {
      const client = brokers.client(who, options);
      clients.push(client);
      return client;
    };
    const connectBy = async (who: KeyedCertificate, clientId: string): Promise<MqttClient> => {
      const client = clientOf(who, { clientId });
      expect(await outcomeOf(client)).toBe('connected');
      return client;
    };
    const connectAs = async (device: string, options: IClientOptions = {}): Promise<MqttClient> => {
      const client = clientOf(devices.get(device), { clientId: `w/${device}`, ...options });
      expect(await outcomeOf(client)).toBe('connected');
      return client;
    };
    const watch = async (): Promise<{ admin: MqttClient; got: string[] }> => {
      const admin = clientOf(brokers.admin);
      expect(await outcomeOf(admin)).toBe('connected');
      const got: string[] = [];
      admin.on('message', (at, payload) => got.push(`${at} ${payload.toString()}`));
      await admin.subscribeAsync('#', { qos: 0 });
      return { admin, got };
    };
    const revoke = async (device: string): Promise<void> => {
      const address = addressOf(device);
      const fingerprints = await new CertificateRepository(world.control).revoke(address, {
        at: new Date().toISOString(),
        reason: 'stolen',
      });
      for (const fingerprint of fingerprints) await brokers.access.revoked(address, fingerprint);
    };

    /** A further certificate for the device, which the database knows. */
    const renew = async (device: string, issuer: CertificateIssuer): Promise<KeyedCertificate> => {
      const certificates = new CertificateRepository(world.control);
      const keys = generateKeyPairSync('ec', { namedCurve: 'P-256' });
      const publicKey = keys.publicKey.export({ type: 'spki', format: 'der' });
      const validity = { nowMs: Date.now(), lifetimeMs: 86_400_000 };
      const { serial, fingerprint, certificate } = await issuer.issueDevice(addressOf(device), publicKey, validity);
      const [known] = await certificates.list(addressOf(device));
      if (known === undefined) throw new Error(`device ${device} has no certificate`);
      await certificates.insert({ ...known, serial, fingerprint, certificate, authority: issuer.fingerprint });
      return { certificate, privateKey: keys.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString() };
    };

    beforeAll(async () => {
      world = await FleetWorld.open();
      for (const device of ['a', 'b']) devices.set(device, await world.enrol(device));
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
      const will = { topic: topic('b', 'presence'), payload: Buffer.from('gone'), qos: 1, retain: true } as const;
      const client = await connectAs('b', { will });
      client.stream.destroy();
      await eventually('the will came', () => heard.some(({ payload }) => payload === 'gone'));
    });

    const day = 86_400_000;
    const strangers: [string, () => Promise<KeyedCertificate | undefined>][] = [
      ['no certificate', async () => undefined],
      ['a certificate that signed itself', () => testCertificate({ commonName: 'w/a', usage: 'client' })],
      [
        'a certificate of another authority, with the same names',
        async () => {
          const other = await testAuthority('Flotilla control plane authority');
          return testCertificate({ commonName: 'w/a', issuer: other, usage: 'client' });
        },
      ],
      [
        'a certificate that ended',
        () => issue('w/a', { from: Date.now() - 2 * day, to: Date.now() - day, usage: 'client' }),
      ],
      [
        'a certificate that has not begun',
        () => issue('w/a', { from: Date.now() + day, to: Date.now() + 2 * day, usage: 'client' }),
      ],
      ['the server’s own certificate', async () => brokers.identity.server],
      ['a certificate that is for servers', () => issue('w/a', { usage: 'server' })],
      [
        'a certificate that another device signed',
        async () => {
          const b = devices.get('b');
          if (b === undefined) return undefined;
          return testCertificate({ commonName: 'w/a', issuer: await asIssuer(b), usage: 'client' });
        },
      ],
    ];
    /** By an authority that the broker trusts, which no attacker can. */
    const issue = (commonName: string, options: Partial<CertificateOptions>): Promise<KeyedCertificate> =>
      testCertificate({ commonName, issuer: brokers.authority, ...options });

    it.each(strangers)('refuses %s', async (_what, make) => {
      expect(await outcomeOf(clientOf(await make(), { clientId: 'w/a' }))).toBe('refused');
    });

    it.runIf(embedded)('refuses a certificate of the authority that the database does not know', async () => {
      expect(await outcomeOf(clientOf(await issue('w/a', { usage: 'client' }), { clientId: 'w/a' }))).toBe('refused');
      const nobody = await issue('w/nobody', { usage: 'client' });
      expect(await outcomeOf(clientOf(nobody, { clientId: 'w/nobody' }))).toBe('refused');
      for (const commonName of ['w/+', 'w/#', '$admin', '$control-plane', 'w', '']) {
        const odd = await issue(commonName, { usage: 'client' });
        expect(await outcomeOf(clientOf(odd, { clientId: commonName })), commonName).toBe('refused');
      }
    });

    it('takes who a device is from its certificate, whatever user name and password it sends', async () => {
      const client = clientOf(devices.get('b'), { clientId: 'w/b', username: 'w/a', password: 'x' });
      const outcome = await outcomeOf(client);
      if (embedded) expect(outcome).toBe('refused');
      else await speaksAs(client, 'b');
      client.end(true);
    });

    it('gives a device no more by another’s client id than its own rights', async () => {
      const client = clientOf(devices.get('b'), { clientId: 'w/a' });
      const outcome = await outcomeOf(client);
      // Mosquitto replaces the client id by the name in the certificate.
      if (embedded) expect(outcome).toBe('refused');
      else await speaksAs(client, 'b');
      client.end(true);
    });

    /** It is heard as the device, and not as the other one. */
    const speaksAs = async (client: MqttClient, device: 'a' | 'b'): Promise<void> => {
      const before = heard.length;
      const other = device === 'a' ? 'b' : 'a';
      await client.publishAsync(topic(other, 'reported'), 'as the other', { qos: 1 });
      await client.publishAsync(topic(device, 'reported'), 'as itself', { qos: 1 });
      await eventually('its own came', () => heard.slice(before).some(({ payload }) => payload === 'as itself'));
      expect(heard.slice(before).map(({ payload }) => payload)).not.toContain('as the other');
    };

    it('leaves a connected device undisturbed when others try its client id', async () => {
      const device = await connectAs('a');
      const got: string[] = [];
      device.on('message', (_text, payload) => got.push(payload.toString()));
      await device.subscribeAsync(topic('a', 'acks'), { qos: 1 });
      const stolen = await testCertificate({ commonName: 'w/a', usage: 'client' });
      for (const [who, options] of [
        [undefined, { clientId: 'w/a' }],
        [stolen, { clientId: 'w/a', username: 'w/a', password: 'guess' }],
        [devices.get('b'), { clientId: 'w/a' }],
        [devices.get('b'), { clientId: 'w/a', username: 'w/a', password: 'guess' }],
      ] as const) {
        const stranger = clientOf(who, options);
        await outcomeOf(stranger);
        stranger.end(true);
      }
      await brokers.broker.publish(topic('a', 'acks'), Buffer.from('marker'), { qos: 1, retain: false });
      await eventually('the device still hears', () => got.includes('marker'));
      await device.endAsync();
    });

    it('never publishes a last will on a topic that is not the device’s to write', async () => {
      const { admin, got } = await watch();
      for (const will of [topic('b', 'presence'), topic('a', 'desired'), '$SYS/x', 'elsewhere']) {
        const client = clientOf(devices.get('a'), {
          clientId: 'w/a',
          will: { topic: will, payload: Buffer.from('forged'), qos: 1, retain: true },
        });
        // The embedded broker refuses the connection; Mosquitto drops the will when it is due.
        const outcome = await outcomeOf(client);
        if (embedded) expect(outcome, will).toBe('refused');
        client.stream.destroy();
      }
      const device = await connectAs('a');
      await device.publishAsync(topic('a', 'reported'), 'marker', { qos: 1 });
      await eventually('the marker came', () => got.some((line) => line.endsWith('marker')));
      expect(got.filter((line) => line.endsWith('forged'))).toEqual([]);
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
      ['every device of its workspace', 'flotilla/v1/w/+/desired'],
      ['one level after another', '+/+/+/+/+'],
      ['its name as a prefix', 'flotilla/v1/w/a+/desired'],
      ['everything, shared', '$share/group/#'],
      ['another device, shared', `$share/group/${topic('b', 'desired')}`],
      ['another device, queued', `$queue/${topic('b', 'desired')}`],
    ];
    it.each(foreign)('lets a device hear nothing of others by subscribing to %s', async (_what, filter) => {
      const device = await connectAs('a');
      const got: string[] = [];
      device.on('message', (text) => got.push(text));
      const answer = await device.subscribeAsync(filter, { qos: 1 }).catch(() => 'denied' as const);
      // Mosquitto's ACL file grants any subscription and withholds the messages.
      if (embedded) expect(answer).toBe('denied');

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
      const { admin, got } = await watch();
      const device = await connectAs('a');
      // The embedded broker ends the connection; Mosquitto acknowledges and drops.
      device.publish(text, 'forged', { qos: 1, retain: true });
      if (embedded) await ended(device);
      const again = embedded ? await connectAs('a') : device;
      await again.publishAsync(topic('a', 'reported'), 'marker', { qos: 1 });
      await eventually('the marker came', () => got.some((line) => line.endsWith('marker')));
      expect(got.filter((line) => line.endsWith('forged'))).toEqual([]);
      await again.endAsync();
      await admin.endAsync();
    });

    it('lets the admin watch everything and publish nothing', async () => {
      const { admin, got } = await watch();
      await brokers.broker.publish(topic('a', 'acks'), Buffer.from('x'), { qos: 1, retain: false });
      await eventually('the admin saw it', () => got.some((line) => line.startsWith(topic('a', 'acks'))));

      const before = heard.length;
      admin.publish(topic('a', 'reported'), 'forged', { qos: 1 });
      const device = await connectAs('a');
      await device.publishAsync(topic('a', 'reported'), 'marker', { qos: 1 });
      await eventually('the marker came', () => heard.slice(before).some(({ payload }) => payload === 'marker'));
      expect(heard.slice(before).filter(({ payload }) => payload === 'forged')).toEqual([]);
      await device.endAsync();
    });

    it('lets a device in as soon as it is enrolled', async () => {
      devices.set('late', await world.enrol('late'));
      const device = await connectAs('late');
      await device.endAsync();
    });

    it('ends the session of a revoked certificate and refuses it from then on, and keeps the others', async () => {
      devices.set('old', await world.enrol('old'));
      const old = await connectAs('old');
      const other = await connectAs('b');
      const gone = ended(old);
      await revoke('old');
      await gone;
      expect(await outcomeOf(clientOf(devices.get('old'), { clientId: 'w/old' }))).toBe('refused');
      expect(other.connected).toBe(true);
      await other.publishAsync(topic('b', 'reported'), 'still here', { qos: 1 });
      await eventually('the other is heard', () => heard.some(({ payload }) => payload === 'still here'));
      await other.endAsync();
    });

    it('refuses a superseded certificate, and lets the session by the newer one go on', async () => {
      const first = await world.enrol('renewed');
      const second = await renew('renewed', brokers.identity.issuer);
      const device = await connectBy(second, 'w/renewed');
      const certificates = new CertificateRepository(world.control);
      const probe = await world.enrol('probe');
      await certificates.revoke(addressOf('probe'), { at: new Date().toISOString(), reason: 'for this test' });
      const { serialNumber } = new X509Certificate(first.certificate);
      const serials = [serialNumber.toLowerCase()];
      const change = { at: new Date().toISOString(), reason: 'superseded', serials };
      for (const fingerprint of await certificates.revoke(addressOf('renewed'), change)) {
        await brokers.access.superseded(addressOf('renewed'), fingerprint);
      }
      // By another device's: let in too early, the first one would take the session over.
      const refused = async (who: KeyedCertificate, clientId: string): Promise<boolean> => {
        const client = clientOf(who, { clientId });
        const outcome = await outcomeOf(client);
        client.end(true);
        return outcome === 'refused';
      };
      await eventually('the broker has heard of it', () => refused(probe, 'w/probe'));
      expect(await refused(first, 'w/renewed')).toBe(true);
      expect(device.connected).toBe(true);
      await device.endAsync(true);
    });

    it('ends the session of a retired device and refuses it from then on', async () => {
      devices.set('retired', await world.enrol('retired'));
      const device = await connectAs('retired');
      await world.twin.retire(addressOf('retired'));
      await new CertificateRepository(world.control).revoke(addressOf('retired'), {
        at: new Date().toISOString(),
        reason: 'retired',
      });
      const gone = ended(device);
      await brokers.access.retired(addressOf('retired'));
      await gone;
      expect(await outcomeOf(clientOf(devices.get('retired'), { clientId: 'w/retired' }))).toBe('refused');
    });

    it('ends the older of two connections of one device', async () => {
      const first = await connectAs('a');
      const gone = ended(first);
      const second = await connectAs('a');
      await gone;
      expect(second.connected).toBe(true);
      await second.endAsync();
    });

    it.skipIf(name.includes('WebSocket'))('follows a change of authorities without a restart', async () => {
      const next = await createAuthority(Date.now());
      const issuer = new CertificateIssuer(next);
      const renewed = await renew('a', issuer);
      const { tls, issuers } = brokers.served;
      const outcomes = async (): Promise<string[]> => {
        const found: string[] = [];
        for (const who of [devices.get('a'), renewed]) {
          const client = clientOf(who, { clientId: 'w/a' });
          found.push(await outcomeOf(client));
          await client.endAsync(true);
        }
        return found;
      };
      expect(await outcomes()).toEqual(['connected', 'refused']);

      brokers.served.tls = { ...tls, authorities: [...tls.authorities, next.certificate] };
      brokers.served.issuers = [...issuers, issuer];
      await brokers.access.authoritiesChanged();
      await settled(async () => (await outcomes()).join() === 'connected,connected');

      brokers.served.tls = { ...tls, authorities: [next.certificate] };
      await brokers.access.authoritiesChanged();
      await settled(async () => (await outcomes()).join() === 'refused,connected');

      brokers.served.tls = tls;
      brokers.served.issuers = issuers;
      await brokers.access.authoritiesChanged();
      await settled(async () => (await outcomes()).join() === 'connected,refused');
    });
  });
}

/** Mosquitto reads its files a moment after it was told. */
async function settled(check: () => Promise<boolean>): Promise<void> {
  await eventually('what connects is as the authorities say', check);
}
