/** Keeps the control plane's ingest busy: there is always more waiting than fits into the next commit. */
import { setImmediate as turn } from 'node:timers/promises';
import { pino } from 'pino';
import { type Clock, systemClock } from '#shared/kernel/clock.js';
import { BackgroundTasks } from '#cloud/fleet/background-tasks.js';
import type { Broker } from '#cloud/mqtt/broker.js';
import { TelemetryIngest } from '#cloud/telemetry/telemetry-ingest.js';
import type { CloudParts } from '#test/support/cloud-parts.js';
import type { SayingFleet } from './said.js';

/** Twice what a commit takes. */
const aheadOf = 4_000;
const perTurn = 100;

/** @returns batches stored, once all that were taken are */
export async function saturate(
  { ground, telemetry }: Pick<CloudParts, 'ground' | 'telemetry'>,
  fleet: SayingFleet,
  isOver: () => boolean,
): Promise<number> {
  const logger = pino({ level: 'silent' });
  const broker: Broker = {
    open: () => Promise.resolve(),
    publish: () => Promise.resolve(),
    onMessage: () => undefined,
    isConnected: () => true,
    close: () => Promise.resolve(),
  };
  const clock: Clock = { ...systemClock, now: () => fleet.now() };
  const counted: Record<string, number> = {};
  let done = 0;
  const ingest = new TelemetryIngest({
    ...{ store: telemetry, broker, live: ground.live, clock, logger, tasks: new BackgroundTasks(logger) },
    batches: {
      add: (labels, amount = 1) => {
        const outcome = String(labels['outcome']);
        counted[outcome] = (counted[outcome] ?? 0) + amount;
        if (outcome !== 'dropped') done += amount;
      },
    },
  });
  let taken = 0;
  while (!isOver()) {
    for (let n = 0; n < perTurn && taken - done < aheadOf; n++, taken++) {
      const { device, payload } = fleet.next();
      ingest.take({ workspace: 'default', device }, 'telemetry', payload);
    }
    if (taken - done < aheadOf) await turn();
    else await systemClock.sleep(1);
  }
  await ingest.idle();
  if (counted['stored'] !== taken) throw new Error(`${String(taken)} batches became ${JSON.stringify(counted)}`);
  return taken;
}
