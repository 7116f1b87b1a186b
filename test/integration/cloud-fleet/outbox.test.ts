import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '#shared/kernel/clock.js';
import { OutboxDrain } from '#cloud/fleet/outbox-drain.js';
import { OutboxRepository } from '#cloud/fleet/outbox-repository.js';
import { openControlDatabase } from '#cloud/store/control-database.js';
import { join } from 'node:path';
import { eventually, FleetWorld, RecordingBroker, silent } from '#test/support/fleet-world.js';

describe('the outbox', () => {
  let world: FleetWorld;
  let broker: RecordingBroker;
  const drains: OutboxDrain[] = [];
  beforeEach(async () => {
    world = await FleetWorld.open();
    broker = new RecordingBroker();
  });
  afterEach(async () => {
    for (const drain of drains.splice(0)) await drain.stop();
    await world.close();
  });

  const drainOf = (outbox = world.outbox): OutboxDrain => {
    const drain = new OutboxDrain({ outbox, broker, clock: systemClock, logger: silent, retryMs: 20 });
    drains.push(drain);
    return drain;
  };
  const add = (topic: string, payload: string): Promise<void> =>
    world.outbox.add({ workspace: 'w', topic, payload, qos: 1, retain: true, createdAt: '2026-01-01T00:00:00.000Z' });
  const sent = (): string[] => broker.published.map(({ payload }) => payload.toString());

  it('sends the newest of each topic and forgets the rest', async () => {
    await add('t1', 'old');
    await add('t2', 'only');
    await add('t1', 'new');
    const drain = drainOf();
    drain.wake();
    await drain.idle();
    expect(sent().sort()).toEqual(['new', 'only']);
    expect(await world.outbox.count()).toBe(0);
  });

  it('keeps a row that the broker did not accept, sends the others, and tries again', async () => {
    let failures = 0;
    broker.fail = (topic) => {
      if (topic !== 't1' || failures >= 3) return undefined;
      failures += 1;
      return new Error('away');
    };
    await add('t1', 'stubborn');
    await add('t2', 'easy');
    drainOf().wake();
    await eventually('both were sent', async () => (await world.outbox.count()) === 0);
    expect(failures).toBe(3);
    expect(sent().sort()).toEqual(['easy', 'stubborn']);
  });

  it('waits for a broker that is away', async () => {
    broker.connected = false;
    await add('t1', 'x');
    const drain = drainOf();
    drain.wake();
    await drain.idle();
    expect(await world.outbox.count()).toBe(1);
    broker.connected = true;
    await eventually('it was sent', () => sent().includes('x'));
  });

  it('never drops a newer row that was written while an older one was on its way', async () => {
    await add('t1', 'first');
    let added: Promise<void> | undefined;
    broker.fail = () => {
      added ??= add('t1', 'second');
      return undefined;
    };
    const drain = drainOf();
    drain.wake();
    await drain.idle();
    await added;
    drain.wake();
    await drain.idle();
    expect(sent()).toEqual(['first', 'second']);
    expect(await world.outbox.count()).toBe(0);
  });

  it('loses nothing when the process dies between the broker’s acceptance and the removal', async () => {
    await add('t1', 'once or twice');
    // What a kill leaves behind: accepted by the broker, still in the database.
    await broker.publish('t1', Buffer.from('once or twice'), { qos: 1, retain: true });
    const reopened = await openControlDatabase(join(world.folder, 'control.db'));
    const drain = drainOf(new OutboxRepository(reopened));
    drain.wake();
    await drain.idle();
    expect(sent()).toEqual(['once or twice', 'once or twice']);
    expect(await new OutboxRepository(reopened).count()).toBe(0);
    await reopened.destroy();
  });

  it('empties a long queue of many topics', async () => {
    for (let n = 0; n < 1_200; n++) await add(`t${String(n)}`, String(n));
    const drain = drainOf();
    drain.wake();
    await drain.idle();
    expect(new Set(sent()).size).toBe(1_200);
    expect(await world.outbox.count()).toBe(0);
  });
});
