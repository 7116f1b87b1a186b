/**
 * What each thing that the control plane does costs as the fleet grows, in CPU time of one process over a database on
 * disk, without network: numbers that the load of the machine changes little.
 */
import { pino } from 'pino';
import { systemClock } from '#shared/kernel/clock.js';
import { BackgroundTasks } from '#cloud/fleet/background-tasks.js';
import { DeviceSearch } from '#cloud/fleet/device-search.js';
import { OutboxDrain } from '#cloud/fleet/outbox-drain.js';
import { DevicePages } from '#cloud/fleet/device-pages.js';
import { parseQuery } from '#cloud/fleet/query/parse-query.js';
import { TwinIngest } from '#cloud/fleet/twin-ingest.js';
import type { Broker } from '#cloud/mqtt/broker.js';
import { addressOf, capabilities } from '#test/support/fleet-world.js';
import { RolloutFleet } from '#test/integration/cloud-rollout/rollout-fleet.js';

/** Milliseconds of CPU, by what was done; for one device where `each`. */
export interface Cost {
  readonly what: string;
  readonly each: boolean;
  readonly ms: number;
}

const silent = pino({ level: 'silent' });

export async function costsOf(devices: number): Promise<Cost[]> {
  const fleet = await RolloutFleet.open(devices);
  const costs: Cost[] = [];
  const measure = async (what: string, each: boolean, act: () => Promise<unknown>, times = 1): Promise<void> => {
    const before = process.cpuUsage();
    for (let time = 0; time < times; time++) await act();
    const { user, system } = process.cpuUsage(before);
    costs.push({ what, each, ms: (user + system) / 1000 / times / (each ? devices : 1) });
  };
  try {
    const { world } = fleet;
    const { control, live, deployments } = world;
    const names = Array.from({ length: devices }, (_, n) => `d${String(n)}`);
    const broker: Broker = {
      open: () => Promise.resolve(),
      publish: () => Promise.resolve(),
      onMessage: () => undefined,
      isConnected: () => true,
      close: () => Promise.resolve(),
    };
    const ingest = new TwinIngest({
      ...{ db: control, devices: world.devices, broker, live, clock: systemClock, logger: silent },
      tasks: new BackgroundTasks(silent),
      ignored: { add: () => undefined },
      onOvertaken: () => Promise.resolve(),
      onCertificateUsed: () => Promise.resolve(),
    });
    const report = async (sequence: number, state: object): Promise<void> => {
      for (const name of names) {
        const message = { schema: 1 as const, bootId: 1, sequence, at: '2026-01-01T00:00:00.000Z', state };
        ingest.take({ kind: 'reported', address: addressOf(name), report: message as never }, 400);
      }
      await ingest.idle();
    };
    await measure('a first report', true, () =>
      report(1, { generation: 0, converged: false, modules: {}, capabilities }),
    );
    await measure('presence', true, async () => {
      for (const name of names) {
        const presence = {
          schema: 1 as const,
          online: true,
          bootId: 1,
          agentVersion: '0',
          since: '2026-01-01T00:00:00.000Z',
        };
        ingest.take({ kind: 'presence', address: addressOf(name), presence }, 200);
      }
      await ingest.idle();
    });
    const search = new DeviceSearch(control);
    const pages = new DevicePages(world.devices, deployments, search);
    const query = parseQuery('capabilities.cpus >= 2 and online');
    await measure('a page of 100 devices', false, () => pages.page('w', { limit: 100, cursor: 'd5' }), 5);
    await measure('a page of 100 by query', false, () => pages.page('w', { limit: 100, cursor: 'd5' }, query), 5);
    await measure('how many a query finds', false, () => search.count('w', query), 5);
    const policy = { waves: [{ percent: 50 }], maxUnavailable: '100%' };
    await measure('starting a rollout', true, () => fleet.start('vision:1', policy));
    const controller = fleet.controller();
    const stored = await fleet.rollouts.require({ workspace: 'w', number: 1 });
    await measure('a look at a rollout', false, () => controller.look(stored), 3);
    await measure('asking half of the fleet', true, () => fleet.turn());
    const outbox = new OutboxDrain({ outbox: world.outbox, broker, clock: systemClock, logger: silent, retryMs: 1000 });
    await measure('the outbox', true, async () => {
      outbox.wake();
      await outbox.idle();
    });
    await measure('a look with half under way', false, () => controller.look(stored), 3);
    await measure('the counts of a rollout', false, () => fleet.rows.counts([stored]), 5);
    await measure('a later report', true, () => report(2, { generation: 1, converged: true, modules: {} }));
    await measure('judging and asking the rest', true, () => fleet.turn());
    await controller.stop();
    return costs;
  } finally {
    await fleet.close();
  }
}
