/** Rollouts that are begun by schedules. Such a schedule is known by a number, and kept when it is over or cancelled. */
import type { Database } from '#cloud/fleet/device-repository.js';
import { FleetRepository } from '#cloud/fleet/fleet-repository.js';
import { ReleaseRepository } from '#cloud/fleet/release-repository.js';
import type { LiveEvents } from '#cloud/live/live-events.js';
import type { LastTime, Schedule, ScheduleKind } from '#cloud/schedule/schedule.js';
import { checkPolicy, type RolloutPolicy, rolloutPolicySchema } from './policy.js';
import type { RolloutOffice, StartOrder } from './rollout-office.js';

export interface ScheduledOrder {
  /** name:version, or a name: its newest version at that time. */
  readonly release: string;
  readonly fleet: string;
  readonly policy: RolloutPolicy;
  readonly supersede: boolean;
  readonly ignoreFreeze: boolean;
}

export interface ScheduledRolloutOptions {
  readonly db: Database;
  readonly office: Pick<RolloutOffice, 'startWithin' | 'begun'>;
  readonly live: LiveEvents;
}

export function scheduledRollout({ db, office, live }: ScheduledRolloutOptions): ScheduleKind {
  return {
    kind: 'rollout',
    check: async (workspace, action) => {
      const order = orderOf(action);
      checkPolicy(order.policy);
      await found(db, workspace, order);
    },
    begin: async (transaction, { workspace, name, action, createdBy }) => {
      const by = `${createdBy} by schedule ${name}`;
      const order = { ...(await found(transaction, workspace, orderOf(action))), by };
      const made = await office.startWithin(transaction, workspace, order);
      const { number } = made;
      return { number, text: `rollout ${String(number)} of ${order.release}`, after: () => office.begun(made) };
    },
    notBegun: ({ workspace, name }, last) => {
      const data = { schedule: Number(name), text: tellLast(last) };
      live.publish({ workspace, type: 'rollout.schedule', subject: name, data });
    },
  };
}

export function orderOf(action: Schedule['action']): ScheduledOrder {
  const order = action as ScheduledOrder;
  return { ...order, policy: rolloutPolicySchema.parse(order.policy) };
}

export function tellLast({ outcome, text }: LastTime): string {
  if (outcome === 'begun') return text;
  return `${outcome === 'missed' ? 'missed' : 'not started'}: ${text}`;
}

/** @throws AppError `release.not-found`, `fleet.not-found` */
async function found(db: Database, workspace: string, order: ScheduledOrder): Promise<Omit<StartOrder, 'by'>> {
  const releases = new ReleaseRepository(db);
  const release = order.release.includes(':') ? order.release : await releases.newest(workspace, order.release);
  await releases.require(workspace, release);
  return { ...order, release, fleet: await new FleetRepository(db).require(workspace, order.fleet) };
}
