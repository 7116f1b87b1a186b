/** Attacks over MQTT with what a thief of a device has, each beside the rightful act, on either broker. */
import { createPrivateKey, createPublicKey } from 'node:crypto';
import type { MqttClient } from 'mqtt';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { controlPlaneServerName, renewalResponseSchema } from '#shared/protocol/enrolment.js';
import { makeDeviceKeys, signingRequestFor } from '#agent/identity/device-keys.js';
import { gatewayAt, postToGateway } from '#agent/identity/gateway-request.js';
import { testAuthority, testCertificate } from '../../support/test-certificates.js';
import { type AttackSite, bystander, eventually, identityOf, outcomeOf, own, type Shown, victim } from './site.js';

const day = 86_400_000;
const name = 'default/cam-2';

/** Filters of which none is a device's to subscribe to. */
const filters = [
  '#',
  '+',
  '+/+/+/+/+',
  '$SYS/#',
  'flotilla/v1/default/cam-1/#',
  'flotilla/v1/default/cam-1/desired',
  'flotilla/v1/default/cam-1/commands/+/request',
  'flotilla/v1/default/+/desired',
  'flotilla/v1/+/+/telemetry',
  'flotilla/v1/default/cam-2+/desired',
  `${own}/#`,
  `${own}/events`,
  '$share/group/#',
  '$share/group/flotilla/v1/default/cam-1/telemetry',
];

const publications = [
  [`${victim}/events`, 'as another device'],
  [`${victim}/reported`, 'as another device, its report'],
  [`${victim}/desired`, "to another's desired"],
  [`${own}/desired`, 'to its own desired'],
  [`${own}/acks`, 'to its own acks'],
  [`${own}/commands/c1/request`, 'a command to itself'],
  ['flotilla/v1/other/cam-2/events', 'in another workspace'],
  [`${own}/elsewhere`, 'outside the grammar'],
  ['$SYS/broker/version', 'to $SYS'],
] as const;

const wills = [`${victim}/presence`, `${own}/desired`, '$SYS/x', 'elsewhere'];

export function brokerAttacks(kind: 'embedded' | 'mosquitto', siteOf: () => AttackSite): void {
  const refuses = kind === 'embedded';

  describe(`on the ${kind} broker`, () => {
    let site: AttackSite;
    let admin: MqttClient;
    let steady: MqttClient;
    /** What the admin saw, as topic and text. */
    const seen: string[] = [];
    let markers = 0;

    beforeAll(async () => {
      site = siteOf();
      admin = site.mqtt(site.admin, { clientId: '$admin' });
      expect(await outcomeOf(admin)).toBe('connected');
      admin.on('message', (topic, payload) => seen.push(`${topic} ${payload.toString('latin1')}`));
      await admin.subscribeAsync('#', { qos: 0 });
      steady = site.mqtt(site.bystander, { clientId: 'default/cam-3' });
      expect(await outcomeOf(steady)).toBe('connected');
    });
    afterAll(() => admin.endAsync(true));

    /** The rightful act: a device is heard on its own topic. Over a connection that is given, or another. */
    const isHeard = async (given?: MqttClient): Promise<void> => {
      // The embedded broker lets a device connect only so often: one whose connection stays.
      const [client, topic] = given ? [given, own] : refuses ? [steady, bystander] : [await site.asTaken(), own];
      markers += 1;
      const marker = `marker ${String(markers)}`;
      await client.publishAsync(`${topic}/events`, marker, { qos: 1 });
      await eventually(`${marker} is heard`, () => seen.includes(`${topic}/events ${marker}`));
      if (given === undefined && !refuses) await client.endAsync();
    };

    describe('subscribing', () => {
      const answers = new Map<string, 'granted' | 'denied'>();
      const got: string[] = [];
      beforeAll(async () => {
        const client = await site.asTaken();
        client.on('message', (topic) => got.push(topic));
        await client.subscribeAsync(`${own}/desired`, { qos: 1 });
        for (const filter of filters) {
          const outcome = await client.subscribeAsync(filter, { qos: 1 }).then(
            (granted) => (granted.every(({ qos }) => qos < 128) ? 'granted' : 'denied'),
            () => 'denied' as const,
          );
          answers.set(filter, outcome);
        }
        const before = seen.length;
        await eventually('the victim is heard by the admin', () =>
          seen.slice(before).some((line) => line.startsWith(`${victim}/telemetry`)),
        );
        await isHeard(client);
        await client.publishAsync(`${own}/desired/get`, '{"schema":1}', { qos: 1 });
        await eventually('it hears what is meant for it', () => got.includes(`${own}/desired`));
        await client.endAsync();
      });

      it.each(filters)('to %s lets a device hear nothing but what is meant for it', (filter) => {
        // Mosquitto grants any subscription and withholds the messages.
        if (refuses) expect(answers.get(filter)).toBe('denied');
        const meant = [`${own}/desired`, `${own}/reported/get`, `${own}/acks`, `${own}/trust/data`];
        expect(got.filter((topic) => !meant.includes(topic))).toEqual([]);
        expect(got).toContain(`${own}/desired`);
      });
    });

    it.each(publications)('publishing to %s (%s) reaches nobody', async (topic) => {
      const forged = `forged on ${topic}`;
      const client = await site.asTaken();
      client.publish(topic, forged, { qos: 1, retain: true });
      if (refuses) await closed(client);
      await isHeard(refuses ? undefined : client);
      await client.endAsync(true);
      expect(seen.filter((line) => line.includes(forged))).toEqual([]);
    });

    it.each(wills)('a last will on %s is never published', async (topic) => {
      const will = { topic, payload: Buffer.from(`forged will on ${topic}`), qos: 1, retain: true } as const;
      const client = site.mqtt(site.taken, { clientId: name, will });
      const outcome = await outcomeOf(client);
      if (refuses) expect(outcome).toBe('refused');
      client.stream.destroy();
      await isHeard();
      expect(seen.filter((line) => line.includes('forged will'))).toEqual([]);
    });

    it('by the client id of another, neither its rights nor its place are got', async () => {
      const offline = (): string[] =>
        seen.filter((line) => line.startsWith(`${victim}/presence`) && line.includes('"online":false'));
      const before = offline().length;
      const client = site.mqtt(site.taken, { clientId: 'default/cam-1' });
      const outcome = await outcomeOf(client);
      // Mosquitto puts the name of the certificate in its place.
      if (refuses) expect(outcome).toBe('refused');
      else client.publish(`${victim}/events`, 'forged by client id', { qos: 1 });
      await isHeard(refuses ? undefined : client);
      await client.endAsync(true);
      const from = seen.length;
      await eventually('the victim goes on', () =>
        seen.slice(from).some((line) => line.startsWith(`${victim}/telemetry`)),
      );
      expect(offline()).toHaveLength(before);
      expect(seen.filter((line) => line.includes('forged by client id'))).toEqual([]);
    });

    describe('a certificate', () => {
      const signed = async (from: number, lifetimeMs: number): Promise<Shown> => {
        const key = createPublicKey(createPrivateKey(site.taken.privateKey));
        const { certificate } = await site.identity.issuer.issueDevice(
          { workspace: 'default', device: 'cam-2' },
          key.export({ type: 'spki', format: 'der' }),
          { nowMs: from, lifetimeMs },
        );
        return { certificate, privateKey: site.taken.privateKey };
      };
      const cases: [string, () => Promise<Shown | undefined>][] = [
        ['that is none', () => Promise.resolve(undefined)],
        ['that signed itself', () => testCertificate({ commonName: name, usage: 'client' })],
        [
          'of another authority that bears the names of ours',
          async () => {
            const issuer = await testAuthority('Flotilla control plane authority');
            return testCertificate({ commonName: name, issuer, usage: 'client' });
          },
        ],
        ['that expired', () => signed(Date.now() - 30 * day, 10 * day)],
        ['that is not valid yet', () => signed(Date.now() + 10 * day, 10 * day)],
        ['of the server itself', () => Promise.resolve(site.identity.server)],
      ];

      it.each(cases)('%s opens nothing, and the rightful one does', async (_what, make) => {
        expect(await outcomeOf(site.mqtt(await make(), { clientId: name }))).toBe('refused');
        await isHeard();
      });

      it('that was stolen and revoked is cut off and let in nowhere, and the others go on', async () => {
        const { world } = site;
        await world.enrol('stolen');
        const stolen = await identityOf(world, 'stolen');
        const connect = (): MqttClient => site.mqtt(stolen, { clientId: 'default/stolen' });
        const live = connect();
        expect(await outcomeOf(live)).toBe('connected');
        const gone = closed(live);

        await world.flotilla('device', 'revoke', 'stolen', '--reason', 'stolen');
        await gone;
        expect(await outcomeOf(connect())).toBe('refused');
        // Nor does it make itself a new one, as a device that is not revoked does.
        await expect(renewed('stolen', stolen)).rejects.toThrow(/revoked/);
        expect(await renewed('cam-3', site.bystander)).toContain('BEGIN CERTIFICATE');
        await isHeard();
        const from = seen.length;
        await eventually('the device at work goes on', () =>
          seen.slice(from).some((line) => line.startsWith(`${victim}/telemetry`)),
        );
      });

      const renewed = async (device: string, { certificate, privateKey }: Shown): Promise<string> => {
        const { gateway } = site.world.ports;
        const answer = await postToGateway(
          {
            ...gatewayAt(new URL(`https://127.0.0.1:${String(gateway)}`), { proxy: undefined, noProxy: '' }),
            expected: {
              authorities: [site.identity.authority],
              name: controlPlaneServerName,
              trustedNow: Number.NEGATIVE_INFINITY,
            },
            client: { certificate, privateKey },
          },
          '/v1/renew',
          { csr: await signingRequestFor(makeDeviceKeys().privateKey, `default/${device}`) },
          renewalResponseSchema,
        );
        return answer.certificate;
      };
    });
  });
}

function closed(client: MqttClient): Promise<void> {
  return client.connected ? new Promise((resolve) => client.once('close', () => resolve())) : Promise.resolve();
}
