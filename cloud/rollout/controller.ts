/**
 * Drives rollouts: looks, plans, carries out, and looks again until nothing is left to do. Whoever wakes it says
 * nothing: all that it knows is in the database, hence a kill at any point loses no device and asks none twice.
 */
import type { Clock } from '#shared/kernel/clock.js';
import { messageOf } from '#shared/kernel/errors.js';
import type { Logger } from '#shared/platform/logger.js';
import { Lookout } from '#shared/platform/lookout.js';
import type { Database } from '#cloud/fleet/device-repository.js';
import { matchingDevices } from '#cloud/fleet/device-search.js';
import type { ReleaseRepository } from '#cloud/fleet/release-repository.js';
import type { Twin } from '#cloud/fleet/twin.js';
import type { LiveEvents } from '#cloud/live/live-events.js';
import { dropPrefetches } from './ask-prefetch.js';
import type { GateVerdict } from './gates/gate-model.js';
import type { GateWatch } from './gates/gate-watch.js';
import type { ShadowPhase } from './shadow/shadow-phase.js';
import { CannotAsk, commitStep, failureOf, restOf } from './commit.js';
import { FreezeRepository } from './freeze-repository.js';
import { isIdle, type Plan, planRollout } from './plan.js';
import type { Joiner } from './rollout-model.js';
import { type LoadedDevice, RolloutDevices } from './rollout-devices.js';
import { type HistoryEntry, type RolloutAddress, RolloutRepository, type StoredRollout } from './rollout-repository.js';

export interface ControllerOptions {
  readonly db: Database;
  readonly releases: Pick<ReleaseRepository, 'require'>;
  readonly twin: Twin;
  readonly gates: GateWatch;
  readonly shadows: ShadowPhase;
  readonly live: LiveEvents;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Told after each commit that asked a device something: it waits in the outbox. */
  readonly onCommitted: () => void;
}

/** A rollout at one moment. */
export interface Look {
  readonly plan: Plan;
  readonly devices: readonly LoadedDevice[];
  /** Of the wave whose turn it is, while it runs. */
  readonly gates: readonly GateVerdict[] | undefined;
}

/** Devices report many times a second; looking so often is enough. */
const gatherMs = 200;
/** A look costs with the fleet: of all time it takes a fifth at most, and reports gather meanwhile. */
const pausePerLook = 4;
const longestGatherMs = 5_000;
/** Parts of one plan that are carried out without another look: what devices report meanwhile waits so long. */
const partsAtOnce = 10;
/** Without a nearer deadline: queries of fleets change with no event. */
const longestSleepMs = 30_000;
/** More steps at once would starve the other rollouts. */
const stepsAtOnce = 200;

export class RolloutController {
  private readonly lookout: Lookout;
  /** How long the last look took. */
  private lookMs = 0;
  /** Who is away is known from here on: at a start nobody is known to be there. */
  private readonly awayFrom: number;
  private unsubscribe: () => void = () => undefined;

  constructor(private readonly options: ControllerOptions) {
    this.awayFrom = options.clock.now();
    this.lookout = new Lookout({
      ...{ look: () => this.run(), clock: options.clock, leastMs: gatherMs, mostMs: longestSleepMs },
      onError: (error) => options.logger.error({ err: error }, 'rollouts were not looked at'),
    });
  }

  /** Looks at once, and from now on whenever a device changes or something is due. */
  start(): void {
    this.unsubscribe = this.options.live.subscribeToAll(({ type }) => {
      if (type === 'device.changed') this.wakeSoon();
    });
    this.wake();
  }

  wake(): void {
    this.lookout.wake();
  }

  async idle(): Promise<void> {
    await this.lookout.idle();
  }

  async stop(): Promise<void> {
    this.unsubscribe();
    await this.lookout.stop();
  }

  /** What a rollout would do now, and what its devices wait for. */
  async look(stored: StoredRollout): Promise<Look> {
    const { db, clock } = this.options;
    const { policy, rollout, workspace, query } = stored;
    const begunAt = clock.monotonic();
    const follows = policy.lateJoiners === 'follow' && rollout.state === 'running';
    const members = follows
      ? new Set((await matchingDevices(db, workspace, query).select('devices.name').execute()).map(({ name }) => name))
      : undefined;
    const loaded = await new RolloutDevices(db).load(stored, stored.release, members, this.awayFrom);
    const joiners = members === undefined ? [] : await this.joinersOf(stored, members, loaded);
    const freezes = await new FreezeRepository(db).since(workspace, rollout.countedFrom);
    const gates = await this.options.gates.verdicts(stored);
    const { devices, verdicts: shadows } = await this.options.shadows.look(stored, loaded);
    const plan = planRollout({ rollout, policy, devices, joiners, freezes, gates, shadows, now: clock.now() });
    this.lookMs = clock.monotonic() - begunAt;
    return { devices, gates: shadows ?? gates, plan };
  }

  /** @returns when to look again at the latest */
  private async run(): Promise<number> {
    const { db, clock, logger } = this.options;
    let dueAt = clock.now() + longestSleepMs;
    for (const address of await new RolloutRepository(db).listUnderWay()) {
      if (this.lookout.stopped.aborted) return dueAt;
      try {
        dueAt = Math.min(dueAt, await this.advance(address));
      } catch (error) {
        // One rollout must not cost the others: it is looked at again with the next wake.
        logger.error({ err: error, ...address }, 'a rollout could not be carried on');
      }
    }
    if (!this.lookout.stopped.aborted && (await this.options.shadows.sweep())) this.options.onCommitted();
    if (await dropPrefetches(db, this.options.twin)) this.options.onCommitted();
    return dueAt;
  }

  /** @returns when to look again at the latest */
  private async advance(address: RolloutAddress): Promise<number> {
    const { db, clock, gates, shadows } = this.options;
    for (let step = 0; step < stepsAtOnce && !this.lookout.stopped.aborted; step++) {
      const stored = await new RolloutRepository(db).find(address);
      if (stored === undefined || stored.endedAt !== undefined) {
        gates.forget(address);
        return Number.POSITIVE_INFINITY;
      }
      const { plan, devices } = await this.look(stored);
      if (isIdle(plan)) {
        const now = clock.now();
        return plan.waiting.reduce(
          (first, { until }) => (until !== undefined && until > now ? Math.min(first, until) : first),
          now + Math.min(gates.remainingMs(stored), shadows.remainingMs(stored)),
        );
      }
      await this.carryOut(stored, plan, devices);
    }
    return clock.now();
  }

  private async carryOut(stored: StoredRollout, plan: Plan, devices: readonly LoadedDevice[]): Promise<void> {
    const { db, releases, twin, clock, onCommitted } = this.options;
    const asks =
      plan.assignments.some(({ action }) => action === 'deploy') ||
      plan.shadowing.length + (plan.prefetches ?? []).length > 0;
    const release = asks ? await releases.require(stored.workspace, stored.release) : undefined;
    const input = { release, devices, shadows: this.options.shadows };
    let current = stored;
    try {
      let part: Plan | undefined = plan;
      for (let parts = 0; part !== undefined && parts < partsAtOnce; parts++) {
        const begunAt = clock.monotonic();
        const committed = await commitStep(db, twin, { ...input, stored: current, plan: part, now: clock.now() });
        if (committed === undefined) return;
        if (committed.asked) onCommitted();
        this.publish(stored, committed.entries);
        // The database answers within the turn: connections and the outbox get as much time as this took.
        await clock.sleep(clock.monotonic() - begunAt, this.lookout.stopped);
        current = committed.stored;
        part = this.lookout.stopped.aborted ? undefined : restOf(part);
      }
    } catch (error) {
      if (!(error instanceof CannotAsk)) throw error;
      this.options.logger.warn({ ...error.assignment, reason: messageOf(error) }, 'a device could not be asked');
      const now = clock.now();
      const outcomes = [failureOf(error, now)];
      const nothing = { assignments: [], transition: undefined, waiting: [], joins: [], shadowing: [], gates: [] };
      const only: Plan = { outcomes, ...nothing };
      const committed = await commitStep(db, twin, { ...input, stored: current, plan: only, now });
      this.publish(stored, committed?.entries ?? []);
    }
  }

  private async joinersOf(
    stored: StoredRollout,
    members: ReadonlySet<string>,
    devices: readonly LoadedDevice[],
  ): Promise<Joiner[]> {
    const known = new Set(devices.map(({ device }) => device));
    const names = [...members].filter((name) => !known.has(name));
    if (names.length === 0) return [];
    const claims = await new RolloutDevices(this.options.db).claims(stored.workspace, stored.number);
    const holders = new Map(claims.map(({ device, rollout }) => [device, String(rollout)]));
    return names.map((device) => ({ device, claimedBy: holders.get(device) }));
  }

  private publish({ workspace, number }: StoredRollout, entries: readonly HistoryEntry[]): void {
    for (const entry of entries) {
      const type = entry.device === undefined ? 'rollout.changed' : 'rollout.device';
      this.options.live.publish({ workspace, type, subject: String(number), data: { rollout: number, ...entry } });
    }
  }

  private wakeSoon(): void {
    this.lookout.wakeIn(Math.min(longestGatherMs, Math.max(gatherMs, this.lookMs * pausePerLook)));
  }
}
