import { randomUUID } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { verifyEnvelope } from '#shared/package/dsse.js';
import { commandRequestSchema } from '#shared/protocol/commands.js';
import { restartPolicySchema } from '#shared/protocol/desired.js';
import { envelopeSchema, payloadTypes } from '#shared/protocol/envelope.js';
import { BackgroundTasks } from '#cloud/fleet/background-tasks.js';
import { CommandChannel } from '#cloud/fleet/command-channel.js';
import { CommandService } from '#cloud/fleet/command-service.js';
import { DeviceMessages } from '#cloud/fleet/device-messages.js';
import { Retirement } from '#cloud/fleet/retirement.js';
import { TwinIngest } from '#cloud/fleet/twin-ingest.js';
import { Metrics } from '#cloud/http/metrics.js';
import { addressOf, bytesOf, eventually, FleetWorld, RecordingBroker, silent } from '#test/support/fleet-world.js';

const at = '2026-01-01T00:00:00.000Z';
const d = addressOf('d');

describe('what devices say', () => {
  let world: FleetWorld;
  let broker: RecordingBroker;
  let ingest: TwinIngest;
  let commands: CommandService;
  let channel: CommandChannel;
  let tasks: BackgroundTasks;
  let metrics: Metrics;

  beforeEach(async () => {
    world = await FleetWorld.open();
    broker = new RecordingBroker();
    metrics = new Metrics();
    tasks = new BackgroundTasks(silent);
    const ignored = metrics.counter('ignored', 'ignored');
    const { control: db, devices, live, clock } = world;
    ingest = new TwinIngest({
      db,
      devices,
      broker,
      live,
      clock,
      logger: silent,
      tasks,
      ignored,
      onOvertaken: (address, generation) => world.twin.reissue(address, generation),
      onCertificateUsed: (address, serial) => world.revocation.supersede(address, serial),
    });
    channel = new CommandChannel({ broker, director: world.signer, clock, ignored });
    commands = new CommandService({ devices, channel, clock, newId: randomUUID });
    const unused = { take: () => undefined } as never;
    const messages = new DeviceMessages({
      broker,
      known: world.known,
      twin: world.twin,
      ingest,
      telemetry: unused,
      data: unused,
      commands: channel,
      blocks: unused,
      trust: unused,
      tasks,
      ignored,
    });
    broker.onMessage((topic, payload) => messages.handle(topic, payload));
    await world.enrol('d');
  });
  afterEach(() => world.close());

  const say = async (channel: string, message: unknown, device = 'd'): Promise<void> => {
    broker.say(`flotilla/v1/w/${device}/${channel}`, message);
    await ingest.idle();
    await tasks.idle();
  };
  const report = (sequence: number, state: object, base?: number) =>
    say('reported', { schema: 1, bootId: 1, sequence, at, state, ...(base === undefined ? {} : { base }) });
  const presence = (online: boolean, bootId: number) =>
    say('presence', { schema: 1, online, bootId, agentVersion: '1', since: at });
  const reported = async (): Promise<unknown> => JSON.parse((await world.devices.find(d))?.reportedJson ?? '');

  describe('of what they run', () => {
    it('is stored and acknowledged, diffs upon the stored report', async () => {
      await report(1, { generation: 1, converged: false, modules: {} });
      await report(2, { converged: true }, 1);
      expect(await reported()).toMatchObject({ generation: 1, converged: true });
      expect(broker.on('acks')).toEqual([
        { schema: 1, kind: 'reported', bootId: 1, upTo: 1 },
        { schema: 1, kind: 'reported', bootId: 1, upTo: 2 },
      ]);
    });

    it('is asked for whole after a gap', async () => {
      await report(1, { generation: 1 });
      await report(3, { converged: true }, 2);
      expect(broker.on('reported/get')).toEqual([{ schema: 1 }]);
      expect(await reported()).toMatchObject({ converged: false });
      await report(4, { generation: 1, converged: true });
      expect(await reported()).toMatchObject({ converged: true });
    });

    it('raises our generation when it is above, so that the next deployment is above both', async () => {
      await world.addImage('digits', 1, [bytesOf(10, 1)]);
      await report(1, { generation: 30 });
      const policy = restartPolicySchema.parse({});
      expect(await world.twin.deploy(d, 'm', { image: 'digits:1', settings: {}, policy })).toBe(31);
      await report(2, { generation: 2 });
      expect((await world.devices.find(d))?.desiredGeneration).toBe(31);
    });

    it('brings the document that a restored backup has again, above what the device has', async () => {
      await world.addImage('digits', 1, [bytesOf(10, 1)]);
      const policy = restartPolicySchema.parse({});
      await world.twin.deploy(d, 'm', { image: 'digits:1', settings: {}, policy });
      await report(1, { generation: 1, converged: true });
      expect((await world.devices.find(d))?.desiredGeneration).toBe(1);

      await report(2, { generation: 7 });
      expect((await world.devices.find(d))?.desiredGeneration).toBe(8);
      expect(await world.twin.storedDesired(d)).toBeDefined();
      const problem = { code: 'desired.same-generation', message: 'other content' };
      await report(3, { generation: 7, refused: { generation: 8, problem, at } });
      await report(4, { generation: 7, refused: { generation: 8, problem, at } });
      expect((await world.devices.find(d))?.desiredGeneration).toBe(9);
    });

    it('arrives in order when many come at once', async () => {
      for (let n = 1; n <= 600; n++) {
        const base = n === 1 ? {} : { base: n - 1 };
        broker.say('flotilla/v1/w/d/reported', {
          schema: 1,
          bootId: 1,
          sequence: n,
          at,
          state: { generation: n },
          ...base,
        });
      }
      await ingest.idle();
      expect(await reported()).toMatchObject({ generation: 600 });
    });
  });

  it('is dropped and counted beyond 64 MiB of it that wait', async () => {
    const details = { filler: 'x'.repeat(100_000) };
    const refused = { problem: { code: 'desired.invalid', message: 'no', details }, at };
    for (let sequence = 1; sequence <= 700; sequence++) {
      broker.say('flotilla/v1/w/d/reported', { schema: 1, bootId: 1, sequence, at, state: { generation: 1, refused } });
    }
    const dropped = /ignored\{reason="overload"\} (\d+)/.exec(await metrics.render())?.[1];
    expect(Number(dropped)).toBeGreaterThan(10);
    await ingest.idle();
    await report(701, { generation: 2 });
    expect(await reported()).toMatchObject({ generation: 2 });
  });

  it('of their presence is stored, and the will of an earlier boot changes nothing', async () => {
    await presence(true, 2);
    expect((await world.devices.find(d))?.online).toBe(1);
    await presence(false, 1);
    expect((await world.devices.find(d))?.online).toBe(1);
    await presence(false, 2);
    expect((await world.devices.find(d))?.online).toBe(0);
    expect(world.seen.filter(({ type }) => type === 'device.changed')).toHaveLength(3);
  });

  it('is ignored and counted when they are unknown, retired, malformed or off the grammar', async () => {
    await presence(true, 1);
    await say('presence', { schema: 1, online: true, bootId: 1, agentVersion: '1', since: at }, 'stranger');
    await say('reported', { schema: 2 });
    broker.say('flotilla/v1/w/d/nonsense', {});
    broker.say('flotilla/v1/w/d/desired', {});
    const { twin, known, live } = world;
    await new Retirement({ twin, known, access: world.access, live }).retire(d);
    await report(1, { generation: 1 });
    const text = await metrics.render();
    expect(text).toContain('ignored{reason="unknown-device"} 2');
    expect(text).toContain('ignored{reason="malformed"} 1');
    expect(text).toContain('ignored{reason="not-a-device-topic"} 2');
    expect((await world.devices.find(d))?.reportedSequence).toBe(0);
  });

  it('when they ask for what is desired is answered with the stored document, once there is one', async () => {
    await say('desired/get', { schema: 1 });
    expect(broker.on('desired')).toEqual([]);
    await world.addImage('digits', 1, [bytesOf(10, 1)]);
    const policy = restartPolicySchema.parse({});
    await world.twin.deploy(d, 'm', { image: 'digits:1', settings: {}, policy });
    await say('desired/get', { schema: 1 });
    expect(broker.published.at(-1)).toMatchObject({
      topic: 'flotilla/v1/w/d/desired',
      options: { qos: 1, retain: false },
    });
    expect(broker.on('desired').at(-1)).toEqual(JSON.parse((await world.devices.find(d))?.desiredEnvelope ?? ''));
  });

  it('when they ask a thousand times for what is desired costs no more than two answers', async () => {
    await world.addImage('digits', 1, [bytesOf(10, 1)]);
    const policy = restartPolicySchema.parse({});
    await world.twin.deploy(d, 'm', { image: 'digits:1', settings: {}, policy });
    for (let n = 0; n < 1000; n++) broker.say('flotilla/v1/w/d/desired/get', { schema: 1 });
    await tasks.idle();
    expect(broker.on('desired')).toHaveLength(2);
    await say('desired/get', { schema: 1 });
    expect(broker.on('desired')).toHaveLength(3);
  });

  describe('to a command', () => {
    const order = { operation: 'ping', arguments: {}, timeoutMs: 5_000 };
    const answer = async (outcome: unknown, change: { id?: string; topicId?: string } = {}): Promise<string> => {
      await eventually('the command was sent', () => broker.published.some(({ topic }) => topic.endsWith('/request')));
      const sent = broker.published.find(({ topic }) => topic.endsWith('/request'));
      const verified = verifyEnvelope(
        envelopeSchema.parse(JSON.parse(sent?.payload.toString() ?? '')),
        payloadTypes.command,
        [world.director.publicKey],
      );
      if (!verified.ok) throw new Error(verified.error.message);
      const { id } = commandRequestSchema.parse(JSON.parse(Buffer.from(verified.value.payload).toString()));
      broker.say(`flotilla/v1/w/d/commands/${change.topicId ?? id}/response`, {
        schema: 1,
        id: change.id ?? id,
        outcome,
      });
      return id;
    };

    it('is given to who asked', async () => {
      const running = commands.run(d, order);
      const id = await answer({ kind: 'done', result: { agentVersion: '1', uptimeSeconds: 3 } });
      expect(await running).toEqual({ id, result: { agentVersion: '1', uptimeSeconds: 3 } });
    });

    it('is thrown as the device’s own failure', async () => {
      const running = commands.run(d, order);
      const expected = expect(running).rejects.toMatchObject({ code: 'module.not-found', message: 'd: no module' });
      await answer({ kind: 'failed', problem: { code: 'module.not-found', message: 'no module' } });
      await expected;
    });

    it('that is late, malformed or for another id changes nothing', async () => {
      const running = commands.run(d, { ...order, timeoutMs: 300 });
      const expected = expect(running).rejects.toMatchObject({ code: 'device.offline' });
      await answer({ kind: 'nonsense' });
      await answer({ kind: 'done', result: 1 }, { id: 'other' });
      await answer({ kind: 'done', result: 1 }, { topicId: 'unknown' });
      await expected;
      await answer({ kind: 'done', result: 1 });
      expect(await metrics.render()).toContain('ignored{reason="unawaited-response"} 2');
    });

    it('that never comes says whether the device is there', async () => {
      await expect(commands.run(d, { ...order, timeoutMs: 20 })).rejects.toMatchObject({
        code: 'device.offline',
        message: expect.stringContaining('has never connected') as string,
      });
      await presence(true, 1);
      await expect(commands.run(d, { ...order, timeoutMs: 20 })).rejects.toMatchObject({ code: 'device.timeout' });
    });

    it.each([
      ['wrong arguments', { operation: 'logs', arguments: { lines: 0 } }, 'request.invalid'],
      ['an unknown argument', { operation: 'ping', arguments: { x: 1 } }, 'request.invalid'],
      [
        'too much input',
        { operation: 'score', arguments: { module: 'm', input: 'x'.repeat(120_000) } },
        'request.too-large',
      ],
    ])('is not asked for with %s', async (_what, wrong, code) => {
      await expect(commands.run(d, { ...order, ...wrong })).rejects.toMatchObject({ code });
      expect(broker.published).toEqual([]);
    });
  });
});
