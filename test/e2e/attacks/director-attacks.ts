/**
 * Attacks of whoever stands in the broker's place with its own certificate and key: the control plane is gone, and the
 * device is told what no director signed, or what one signed for another device or another time.
 */
import { join } from 'node:path';
import { createServer } from 'node:tls';
import { Aedes } from 'aedes';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { toInstant } from '#shared/kernel/clock.js';
import { signEnvelope } from '#shared/package/dsse.js';
import { generateSigningKey, type SigningKey } from '#shared/package/signing-key.js';
import { encodeMessage } from '#shared/protocol/decode.js';
import { type Desired, desiredSchema } from '#shared/protocol/desired.js';
import { payloadTypes } from '#shared/protocol/envelope.js';
import { Impostor } from './impostor.js';
import { type AttackSite, documentIn, eventually, victim } from './site.js';

interface Explained {
  readonly desired: { readonly generation: number };
  readonly refusals: readonly { readonly at: string; readonly problem: { readonly code: string } }[];
  readonly refusedCommands: readonly { readonly id: string; readonly problem: { readonly code: string } }[];
}

export function directorAttacks(siteOf: () => AttackSite): void {
  describe('in the place of the broker', () => {
    let site: AttackSite;
    let impostor: Impostor;
    let stolen: StolenBroker;
    let before: Desired;
    /** What the director says next, and the device obeys. */
    let now: Desired;
    let director: SigningKey;
    const stranger = generateSigningKey();

    beforeAll(async () => {
      site = siteOf();
      ({ director } = site.identity);
      await site.world.cloud?.stop();
      const { envelope } = await documentIn(join(site.world.folder, 'cam-1/desired.json'));
      const { payload } = envelope as { payload: string };
      before = desiredSchema.parse(JSON.parse(Buffer.from(payload, 'base64').toString('utf8')));
      now = { ...before, generation: before.generation + 1, issuedAt: toInstant(Date.now()) };
      impostor = await Impostor.open(site.world.ports.broker);
      await eventually('the device comes to the impostor', () => impostor.visits > 0);
      await impostor.close();
      stolen = await StolenBroker.open(site);
      await eventually('the device comes to the broker', () => stolen.connected);
    });
    afterAll(() => stolen.close());

    const explain = async (): Promise<Explained> =>
      JSON.parse(await site.world.agentCommand('cam-1', 'explain', '--output', 'json')) as Explained;
    const scores = async (): Promise<number> =>
      (await fetch(`http://127.0.0.1:${String(site.scoringPort)}/v2/models/digits/ready`)).status;
    const desired = (more: Partial<Desired>, key = director): Buffer =>
      envelope(payloadTypes.desired, { ...now, ...more }, key);
    /** Said again now and then, as a director does: what is under way when a connection ends reaches nobody. */
    const saidUntil = async (
      channel: string,
      bytes: Buffer,
      what: string,
      holds: () => boolean | Promise<boolean>,
    ): Promise<void> => {
      let saidAt = Number.NEGATIVE_INFINITY;
      try {
        await eventually(what, async () => {
          if (performance.now() > saidAt + 5_000) {
            await stolen.say(channel, bytes);
            saidAt = performance.now();
          }
          return holds();
        });
      } catch (error) {
        throw new Error(`${site.agent.output.slice(-4_000)}\n${JSON.stringify(await explain())}`, { cause: error });
      }
    };
    const command = (id: string, more: object = {}, key = director): Buffer => {
      const at = Date.now();
      const times = { issuedAt: toInstant(at), deadline: toInstant(at + 60_000) };
      const address = { workspace: 'default', device: 'cam-1' };
      const body = { schema: 1, id, ...address, ...times, operation: 'ping', arguments: {}, ...more };
      return envelope(payloadTypes.command, body, key);
    };
    const nothing = { modules: {} };

    it('without its certificate nothing is heard of the device, and with it the device comes', () => {
      expect(impostor.heard).toBe('');
      expect(stolen.connected).toBe(true);
    });

    it('what the director signed for the device is obeyed', async () => {
      const rightful = command('rightful');
      await saidUntil('commands/rightful/request', rightful, 'the command is answered', () =>
        stolen.answered.has('rightful'),
      );
      await saidUntil(
        'desired',
        desired({}),
        'the document is accepted',
        async () => (await explain()).desired.generation === now.generation,
      );
    });

    it.each<[string, () => Buffer, string]>([
      ['signed by an unknown key', () => desired({ generation: 90, ...nothing }, stranger), 'signature.unknown-key'],
      ['for another device', () => desired({ generation: 91, device: 'cam-2', ...nothing }), 'desired.wrong-device'],
      [
        'of an older generation',
        () => desired({ generation: before.generation, ...nothing }),
        'desired.older-generation',
      ],
      ['of the same generation with other content', () => desired(nothing), 'desired.same-generation'],
      [
        'that is a command in its envelope',
        () => envelope(payloadTypes.command, { ...now, generation: 92 }, director),
        'signature.invalid',
      ],
    ])('a desired document %s is refused, and what ran goes on', async (_what, bytes, code) => {
      await stolen.say('desired', bytes());
      await eventually(`the device refuses it with ${code}`, async () =>
        (await explain()).refusals.some(({ problem }) => problem.code === code),
      );
      expect((await explain()).desired).toMatchObject({ generation: now.generation, modules: { digits: {} } });
      expect(await scores()).toBe(200);
    });

    it.each<[string, string, (id: string) => Buffer, string]>([
      ['signed by an unknown key', 'c1', (id) => command(id, {}, stranger), 'signature.unknown-key'],
      ['for another device', 'c2', (id) => command(id, { device: 'cam-2' }), 'desired.wrong-device'],
      ['of another id', 'c3', () => command('c4'), 'desired.wrong-device'],
    ])('a command %s is neither run nor answered', async (_what, id, bytes, code) => {
      await stolen.say(`commands/${id}/request`, bytes(id));
      await eventually(`the device refuses it with ${code}`, async () =>
        (await explain()).refusedCommands.some((one) => one.id === id && one.problem.code === code),
      );
      expect(stolen.answered.has(id)).toBe(false);
    });
  });
}

function envelope(type: string, body: unknown, key: SigningKey): Buffer {
  return Buffer.from(encodeMessage(signEnvelope(type, encodeMessage(body), key)));
}

class StolenBroker {
  /** Ids of commands that the device answered. */
  readonly answered = new Set<string>();
  connected = false;

  private constructor(
    private readonly broker: Aedes,
    private readonly stop: () => Promise<void>,
  ) {
    broker.on('subscribe', () => {
      this.connected = true;
    });
    broker.on('publish', ({ topic }) => {
      const id = /\/commands\/([^/]+)\/response$/.exec(topic)?.[1];
      if (id !== undefined) this.answered.add(id);
    });
  }

  static async open({ identity, world }: AttackSite): Promise<StolenBroker> {
    const broker = await Aedes.createBroker();
    const { certificate, privateKey } = identity.server;
    const server = createServer({ cert: certificate, key: privateKey }, (socket) => broker.handle(socket));
    await new Promise<void>((resolve) => server.listen(world.ports.broker, '127.0.0.1', resolve));
    return new StolenBroker(broker, async () => {
      await new Promise<void>((resolve) => broker.close(resolve));
      await new Promise<void>((resolve) => {
        server.close(() => resolve());
      });
    });
  }

  say(channel: string, payload: Buffer): Promise<void> {
    const packet = {
      cmd: 'publish',
      topic: `${victim}/${channel}`,
      payload,
      qos: 1,
      retain: false,
      dup: false,
    } as const;
    return new Promise((resolve, reject) => {
      this.broker.publish(packet, (error) => (error ? reject(error) : resolve()));
    });
  }

  close(): Promise<void> {
    return this.stop();
  }
}
