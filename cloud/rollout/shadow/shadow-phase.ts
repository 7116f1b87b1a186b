/**
 * What is known of the shadow phase of a rollout, and its effects: devices that could shadow, what their shadows told,
 * the orders to begin, and the end of what rollouts that are over have left.
 */
import type { Clock } from '#shared/kernel/clock.js';
import { AppError } from '#shared/kernel/errors.js';
import type { Logger } from '#shared/platform/logger.js';
import { reportedStateSchema } from '#shared/protocol/reported.js';
import { DeploymentRepository } from '#cloud/fleet/deployment-repository.js';
import type { Database } from '#cloud/fleet/device-repository.js';
import type { ReleasedModule } from '#cloud/fleet/release-plan.js';
import type { ReleaseRepository } from '#cloud/fleet/release-repository.js';
import { knowsShadows, type ShadowOrder, type ShadowTwin } from '#cloud/fleet/shadow-twin.js';
import type { ShadowQuestion, TelemetryPort } from '#cloud/telemetry/telemetry-port.js';
import type { GateVerdict } from '../gates/gate-model.js';
import type { LoadedDevice } from '../rollout-devices.js';
import type { StoredRollout } from '../rollout-repository.js';
import { addTold, nothingTold } from './add-told.js';
import type { DeviceShadow, ShadowEvidence } from './shadow-model.js';
import { shadowOrders } from './shadow-orders.js';
import { isShadowing } from './shadow-step.js';
import { judgeShadows } from './shadow-verdicts.js';

export interface ShadowPhaseOptions {
  readonly db: Database;
  readonly twin: Pick<ShadowTwin, 'putWithin' | 'endAllWithin'>;
  readonly releases: Pick<ReleaseRepository, 'require'>;
  readonly telemetry: Pick<TelemetryPort, 'shadows'>;
  readonly clock: Clock;
  readonly logger: Pick<Logger, 'error'>;
}

export interface ShadowLook {
  /** With what is known of their shadows. */
  readonly devices: readonly LoadedDevice[];
  /** Undefined while there is no such phase, or nothing could be read. */
  readonly verdicts: readonly GateVerdict[] | undefined;
}

/** Devices tell every ten seconds. */
const leastMs = 2_000;
/** Of one question: batches that come in wait for it. */
const devicesAtOnce = 50;

interface Known {
  readonly verdicts: readonly GateVerdict[] | undefined;
  readonly until: number;
}

/** A device of the phase: what it is to shadow, and since when it does. */
interface Member extends DeviceShadow {
  readonly device: string;
  readonly orders: Readonly<Record<string, ShadowOrder>>;
}

export class ShadowPhase {
  private readonly known = new Map<string, Known>();

  constructor(private readonly options: ShadowPhaseOptions) {}

  async look(stored: StoredRollout, devices: readonly LoadedDevice[]): Promise<ShadowLook> {
    const { rollout } = stored;
    if (rollout.state !== 'running' || !isShadowing(stored)) {
      this.known.delete(keyOf(stored));
      return { devices, verdicts: undefined };
    }
    const members = await this.membersOf(stored, devices);
    const byName = new Map(members.map(({ device, orders: _, ...shadow }) => [device, shadow]));
    return {
      devices: devices.map((one) => ({ ...one, shadow: byName.get(one.device) })),
      verdicts: await this.verdictsOf(stored, members),
    };
  }

  /** Milliseconds until it is worth looking again; infinite where there is no such phase. */
  remainingMs(stored: StoredRollout): number {
    if (stored.rollout.state !== 'running' || !isShadowing(stored)) return Number.POSITIVE_INFINITY;
    return Math.max(0, (this.known.get(keyOf(stored))?.until ?? 0) - this.options.clock.monotonic());
  }

  /** As a part of a step's transaction. @returns the generation that carries it, or undefined: there is nothing to compare */
  async beginWithin(
    transaction: Database,
    stored: StoredRollout,
    released: readonly ReleasedModule[],
    device: string,
    now: number,
  ): Promise<number | undefined> {
    const { workspace, number, policy } = stored;
    if (policy.shadow === undefined) return undefined;
    const current = await new DeploymentRepository(transaction).listCurrentOf({ workspace, device });
    const orders = shadowOrders(current, released, policy.shadow, tagOf(stored));
    if (Object.keys(orders).length === 0) return undefined;
    const generation = await this.options.twin.putWithin(transaction, { workspace, device }, orders, number);
    await transaction
      .updateTable('rolloutDevices')
      .set({ shadowedAt: now })
      .where((where) => where.and({ workspace, rollout: number, device }))
      .execute();
    return generation;
  }

  /** Ends shadows of rollouts that are over, however they ended. @returns whether there were any */
  async sweep(): Promise<boolean> {
    const { db, twin, logger } = this.options;
    const left = await db
      .selectFrom('shadows as s')
      .innerJoin('rollouts as r', (join) =>
        join.onRef('r.workspace', '=', 's.workspace').onRef('r.number', '=', 's.rollout'),
      )
      .select(['s.workspace', 's.device'])
      .distinct()
      .where('r.endedAt', 'is not', null)
      .limit(devicesAtOnce)
      .execute();
    let ended = false;
    for (const address of left) {
      try {
        await db.transaction().execute((transaction) => twin.endAllWithin(transaction, address));
        ended = true;
      } catch (error) {
        if (!(error instanceof AppError)) throw error;
        logger.error({ err: error, ...address }, 'the shadow of a rollout that is over could not be ended');
      }
    }
    return ended;
  }

  private async membersOf(stored: StoredRollout, devices: readonly LoadedDevice[]): Promise<Member[]> {
    const { workspace, number, rollout, policy } = stored;
    const { db, releases } = this.options;
    if (policy.shadow === undefined) return [];
    const names = devices.filter(({ wave }) => wave <= rollout.wave).map(({ device }) => device);
    if (names.length === 0) return [];
    const rows = await db
      .selectFrom('rolloutDevices as r')
      .innerJoin('devices as d', (join) =>
        join.onRef('d.workspace', '=', 'r.workspace').onRef('d.name', '=', 'r.device'),
      )
      .select(['r.device', 'r.shadowedAt', 'd.reportedJson'])
      .where('r.workspace', '=', workspace)
      .where('r.rollout', '=', number)
      .where('r.wave', '<=', rollout.wave)
      .execute();
    const release = await releases.require(workspace, stored.release);
    const current = await new DeploymentRepository(db).listCurrent(workspace, names);
    const { shadow } = policy;
    return rows.map(({ device, shadowedAt, reportedJson }) => {
      const orders = shadowOrders(current.get(device) ?? [], release.modules, shadow, tagOf(stored));
      const isNothing = Object.keys(orders).length === 0;
      const rejected = rejectedIn(reportedJson, orders);
      return {
        ...{ device, orders, can: isNothing ? 'nothing' : knowsShadows(reportedJson) ? 'yes' : 'agent' },
        ...(shadowedAt === null ? {} : { askedAt: shadowedAt }),
        ...(rejected === undefined ? {} : { rejected }),
      };
    });
  }

  private async verdictsOf(stored: StoredRollout, members: readonly Member[]): Promise<Known['verdicts']> {
    const { clock, logger } = this.options;
    const before = this.known.get(keyOf(stored));
    if (before !== undefined && clock.monotonic() < before.until) return before.verdicts;
    let verdicts: Known['verdicts'];
    try {
      verdicts = await this.read(stored, members);
    } catch (error) {
      const { workspace, number } = stored;
      logger.error({ err: error, workspace, number }, 'what shadows of a rollout told could not be read');
    }
    this.known.set(keyOf(stored), { verdicts, until: clock.monotonic() + leastMs });
    return verdicts;
  }

  private async read(stored: StoredRollout, members: readonly Member[]): Promise<Known['verdicts']> {
    const { workspace, policy } = stored;
    const tag = tagOf(stored);
    if (policy.shadow === undefined) return undefined;
    const asked = new Map<string, ShadowQuestion['devices'][number][]>();
    for (const { device, askedAt, orders } of members) {
      if (askedAt === undefined) continue;
      for (const [module, { image }] of Object.entries(orders)) {
        asked.set(module, [...(asked.get(module) ?? []), { device, fromMs: askedAt, digest: image, tag }]);
      }
    }
    const evidence: ShadowEvidence[] = [];
    for (const [module, devices] of asked) evidence.push(await this.evidenceOf(workspace, module, devices));
    return judgeShadows(policy.shadow, evidence);
  }

  private async evidenceOf(
    workspace: string,
    module: string,
    devices: ShadowQuestion['devices'],
  ): Promise<ShadowEvidence> {
    let all = nothingTold;
    for (let from = 0; from < devices.length; from += devicesAtOnce) {
      const some = devices.slice(from, from + devicesAtOnce);
      all = addTold(all, await this.options.telemetry.shadows({ workspace, module, devices: some }));
    }
    return { module, ...all, devices: devices.length };
  }
}

function rejectedIn(reportedJson: string, orders: Member['orders']): string | undefined {
  const { modules } = reportedStateSchema.parse(JSON.parse(reportedJson));
  for (const [module, { image }] of Object.entries(orders)) {
    const shadow = Object.hasOwn(modules, module) ? modules[module]?.shadow : undefined;
    if (shadow?.digest !== image || shadow.state !== 'rejected') continue;
    return `${module}: ${shadow.reason?.message ?? 'it did not say why'}`;
  }
  return undefined;
}

/** What another rollout, or a person, had the same version compare, by other rules, is none of its evidence. */
function tagOf({ number }: StoredRollout): string {
  return `rollout-${String(number)}`;
}

function keyOf({ workspace, number }: StoredRollout): string {
  return `${workspace}/${String(number)}`;
}
