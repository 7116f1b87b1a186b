/**
 * Drives shifts: looks, plans, carries out, and looks again until nothing is left to do. Whoever wakes it says nothing:
 * all that it knows is in the database, hence a kill at any point goes on where it was.
 */
import type { Clock } from '#shared/kernel/clock.js';
import { AppError, messageOf } from '#shared/kernel/errors.js';
import type { Logger } from '#shared/platform/logger.js';
import { Lookout } from '#shared/platform/lookout.js';
import type { Database } from '#cloud/fleet/device-repository.js';
import type { LiveEvents } from '#cloud/live/live-events.js';
import type { GateVerdict } from '#cloud/rollout/gates/gate-model.js';
import type { Endpoint } from '../control/endpoint-model.js';
import { EndpointRepository } from '../control/endpoint-repository.js';
import type { ServicesDocument } from '../control/services-document.js';
import type { ServiceHostPort, ServicesStatus } from '../services-status.js';
import { planShift, type ShiftPlan } from './plan.js';
import { readinessOf } from './readiness.js';
import { commitShiftStep, presentOf } from './shift-commit.js';
import type { ShiftEvidence } from './shift-evidence.js';
import { ShiftMemory } from './shift-memory.js';
import type { Readiness } from './shift-model.js';
import { type ShiftAddress, type ShiftEntry, ShiftRepository, type StoredShift } from './shift-repository.js';

export interface ShiftControllerOptions {
  readonly db: Database;
  readonly document: ServicesDocument;
  readonly evidence: Pick<ShiftEvidence, 'verdicts'>;
  /** Resolves when what deployments counted until now is in the store, as far as it can be had. */
  readonly refresh: () => Promise<void>;
  /** The service host that runs, if one does. */
  readonly host: () => Promise<Pick<ServiceHostPort, 'status'> | undefined>;
  readonly live: LiveEvents;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** A shift at one moment. */
export interface ShiftLook {
  readonly plan: ShiftPlan;
  /** Of the stage whose turn it is, while it runs; undefined: they could not be read. */
  readonly verdicts: readonly GateVerdict[] | undefined;
}

/** Deployments tell every few seconds. */
const lookEveryMs = 2_000;
/** Of the time, a sixth at most goes into looking. */
const timesAsLong = 5;
/** Where nothing is under way. */
const longestSleepMs = 60_000;
/** More at once would starve other shifts. */
const stepsAtOnce = 10;

type Status = ServicesStatus | { readonly away: string };

export class ShiftController {
  private readonly lookout: Lookout;
  /** By the shift: since when its target has not been ready. After a start that time begins anew. */
  private readonly unreadySince = new Map<string, number>();
  private readonly memory = new ShiftMemory();

  constructor(private readonly options: ShiftControllerOptions) {
    this.lookout = new Lookout({
      ...{ look: () => this.run(), clock: options.clock, leastMs: 50, mostMs: longestSleepMs },
      onError: (error) => options.logger.error({ err: error }, 'shifts of traffic were not looked at'),
    });
  }

  /** Something may have changed. */
  wake(): void {
    this.lookout.wake();
  }

  async idle(): Promise<void> {
    await this.lookout.idle();
  }

  async stop(): Promise<void> {
    await this.lookout.stop();
  }

  /** What a shift would do now, and what it waits for. */
  async look(stored: StoredShift): Promise<ShiftLook> {
    return this.lookBy(stored, await this.status());
  }

  /** @returns when to look again at the latest */
  private async run(): Promise<number | undefined> {
    const { db, refresh, clock, logger } = this.options;
    const open = await new ShiftRepository(db).open();
    if (open.length === 0) return undefined;
    // A step is judged by what was counted since it began: hence not by what waits from before.
    await refresh();
    const begun = clock.monotonic();
    const status = await this.status();
    let dueAt = Number.POSITIVE_INFINITY;
    for (const address of open) {
      if (this.lookout.stopped.aborted) break;
      try {
        dueAt = Math.min(dueAt, await this.advance(address, status));
      } catch (error) {
        // One shift must not cost the others: it is looked at again with the next wake.
        logger.error({ err: error, ...address }, 'a shift of traffic could not be carried on');
      }
    }
    const took = clock.monotonic() - begun;
    return Math.min(dueAt, clock.now() + Math.max(lookEveryMs, took * timesAsLong));
  }

  /** @returns when something is due by itself */
  private async advance(address: ShiftAddress, status: Status): Promise<number> {
    const { db, document, clock } = this.options;
    const first = await new ShiftRepository(db).find(address);
    if (first !== undefined && !('away' in status)) this.memory.note(first, status, clock.now());
    for (let step = 0; step < stepsAtOnce && !this.lookout.stopped.aborted; step++) {
      const stored = await new ShiftRepository(db).find(address);
      if (stored === undefined || stored.endedAt !== undefined) {
        this.unreadySince.delete(keyOf(address));
        this.memory.forget(address);
        return Number.POSITIVE_INFINITY;
      }
      const { plan, verdicts = [] } = await this.lookBy(stored, status);
      const { transition, holds, waiting } = plan;
      if (transition === undefined && holds.length === 0) {
        return waiting.reduce((first, { until }) => Math.min(first, until ?? first), Number.POSITIVE_INFINITY);
      }
      const committed = await commitShiftStep(db, document, { stored, transition, holds, verdicts, now: clock.now() });
      if (committed !== undefined) this.publish(committed.stored, committed.entries);
    }
    return clock.now();
  }

  private async lookBy(stored: StoredShift, status: Status): Promise<ShiftLook> {
    const { db, clock } = this.options;
    const endpoint = await new EndpointRepository(db).findById(stored.endpoint);
    const present = await presentOf(db, stored.endpoint);
    const { shift, policy } = stored;
    const verdicts = endpoint === undefined || shift.state !== 'running' ? [] : await this.verdictsOf(endpoint, stored);
    const { deployment } = shift.target;
    const empty = present?.deployments.some(({ name, empty: none }) => name === deployment && none) ?? false;
    const readiness = this.readinessOf(endpoint?.generation ?? 0, empty, stored, status);
    return { plan: planShift({ shift, policy, verdicts, readiness, present, now: clock.now() }), verdicts };
  }

  private async verdictsOf(endpoint: Endpoint, stored: StoredShift): Promise<readonly GateVerdict[] | undefined> {
    try {
      return await this.options.evidence.verdicts(endpoint.name, stored, this.memory);
    } catch (error) {
      this.options.logger.error({ err: error, ...keyedBy(stored) }, 'gates of a shift could not be read');
      return undefined;
    }
  }

  private readinessOf(generation: number, empty: boolean, stored: StoredShift, status: Status): Readiness {
    if ('away' in status) return { kind: 'unknown', text: status.away };
    const key = keyOf(stored);
    const since = this.unreadySince.get(key) ?? this.options.clock.now();
    const { target } = stored.shift;
    const readiness = readinessOf({ endpoint: stored.endpoint, target, generation, status, empty, since });
    if (readiness.kind === 'waiting') this.unreadySince.set(key, since);
    else this.unreadySince.delete(key);
    return readiness;
  }

  private async status(): Promise<Status> {
    try {
      const host = await this.options.host();
      return host === undefined ? { away: 'no service host runs yet' } : await host.status();
    } catch (error) {
      if (!(error instanceof AppError)) throw error;
      return { away: `the service host does not answer: ${messageOf(error)}` };
    }
  }

  private publish(stored: StoredShift, entries: readonly ShiftEntry[]): void {
    for (const entry of entries) publishShift(this.options.live, stored, entry);
  }
}

export function publishShift(
  live: LiveEvents,
  { workspace, endpoint, number, shift }: StoredShift,
  entry: ShiftEntry,
): void {
  const data = { endpoint, shift: number, state: shift.state, ...entry };
  live.publish({ workspace, type: 'shift.changed', subject: `${endpoint}/${String(number)}`, data });
}

function keyOf({ endpoint, number }: ShiftAddress): string {
  return `${endpoint}/${String(number)}`;
}

function keyedBy({ workspace, endpoint, number }: StoredShift): ShiftAddress {
  return { workspace, endpoint, number };
}
