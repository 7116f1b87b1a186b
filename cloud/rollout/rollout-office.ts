/** What people ask of rollouts: to start one, and to pause, resume, approve, abort or roll it back. */
import type { Clock } from '#shared/kernel/clock.js';
import { toInstant } from '#shared/kernel/clock.js';
import { AppError } from '#shared/kernel/errors.js';
import type { Database } from '#cloud/fleet/device-repository.js';
import { matchingDevices } from '#cloud/fleet/device-search.js';
import type { Fleet } from '#cloud/fleet/fleet-repository.js';
import { parseQuery } from '#cloud/fleet/query/parse-query.js';
import type { LiveEvents } from '#cloud/live/live-events.js';
import { afterOrder, type Order } from './apply.js';
import { requireGateModules } from './gates/gate-modules.js';
import { checkPolicy, type RolloutPolicy, type WaveSize } from './policy.js';
import type { Rollout } from './rollout-model.js';
import { type Claim, RolloutDevices } from './rollout-devices.js';
import { type HistoryEntry, type RolloutAddress, RolloutRepository, type StoredRollout } from './rollout-repository.js';
import { tellRules } from './tell.js';
import { divideIntoWaves, waveCount } from './waves.js';

export interface OfficeOptions {
  readonly db: Database;
  readonly live: LiveEvents;
  readonly clock: Clock;
  /** Told after each change: rollouts are to be looked at. */
  readonly onChanged: () => void;
}

export interface StartOrder {
  /** As name:version; it exists. */
  readonly release: string;
  readonly fleet: Fleet;
  readonly policy: RolloutPolicy;
  /** Rollouts that hold devices of the fleet end. */
  readonly supersede: boolean;
  /** Freeze periods do not hold it. */
  readonly ignoreFreeze?: boolean | undefined;
  /** Whose order it is. */
  readonly by: string;
}

export interface Draft {
  readonly number: number;
  /** Devices, a list a wave; the last has what the others leave. */
  readonly waves: readonly (readonly string[])[];
  /** Devices of the fleet that other rollouts hold. */
  readonly claims: readonly Claim[];
}

export class RolloutOffice {
  constructor(private readonly options: OfficeOptions) {}

  /** What {@link start} would do now; nothing is changed. */
  draft(workspace: string, fleet: Fleet, policy: RolloutPolicy): Promise<Draft> {
    checkPolicy(policy);
    return draftIn(this.options.db, workspace, fleet, policy);
  }

  /** @throws AppError `rollout.conflict` where another rollout holds a device, `request.invalid` for an empty fleet */
  async start(workspace: string, order: StartOrder): Promise<StoredRollout> {
    const stored = await this.options.db
      .transaction()
      .execute((transaction) => this.startWithin(transaction, workspace, order));
    this.begun(stored);
    return stored;
  }

  /** In the transaction of whoever decides that it begins; tell {@link begun} after it. @throws as {@link start} */
  async startWithin(transaction: Database, workspace: string, order: StartOrder): Promise<StoredRollout> {
    const { release, fleet, policy, supersede, by, ignoreFreeze = false } = order;
    checkPolicy(policy);
    const now = this.options.clock.now();
    const at = toInstant(now);
    await requireRelease(transaction, workspace, release);
    await requireGateModules(transaction, workspace, release, policy.gates ?? {});
    const { number, waves, claims } = await draftIn(transaction, workspace, fleet, policy);
    const total = waves.reduce((sum, wave) => sum + wave.length, 0);
    if (total === 0) {
      throw new AppError(
        'request.invalid',
        `fleet ${fleet.name} has no devices: flotilla fleet show ${fleet.name} says why`,
      );
    }
    if (claims.length > 0 && !supersede) throw conflict(claims);
    const inherited = await endSuperseded(transaction, workspace, claims, number, now);
    const rollout: Rollout = {
      ...{ id: String(number), state: 'running', wave: 0, waves: waveCount(policy) },
      ...{ waveStartedAt: now, approvedBefore: 0, countedFrom: now },
      ...(ignoreFreeze ? { ignoresFreeze: true } : {}),
    };
    const made: StoredRollout = {
      ...{ workspace, number, release, fleet: fleet.name, query: fleet.query, policy, rollout, revision: 1 },
      ...{ createdAt: at, createdBy: by, updatedAt: at },
    };
    const rollouts = new RolloutRepository(transaction);
    await rollouts.insert(made);
    await new RolloutDevices(transaction).insert(
      made,
      waves.flatMap((devices, wave) =>
        devices.map((device) => ({ device, wave, previousJson: inherited.get(device) ?? null })),
      ),
    );
    const freezes = ignoreFreeze ? '; freeze periods do not hold it' : '';
    const text = `${release} over ${String(total)} devices of ${fleet.name}${freezes}`;
    const entry = { at, kind: 'started', text };
    await rollouts.note(made, entry);
    await tellRules(transaction, made, rollout, entry);
    return made;
  }

  begun(stored: StoredRollout): void {
    this.changed(stored, { at: stored.createdAt, kind: 'started', text: stored.release });
  }

  /** @throws AppError `rollout.not-found`, `rollout.state`, `rollout.conflict` */
  async order(address: RolloutAddress, order: Order, by: string): Promise<StoredRollout> {
    const now = this.options.clock.now();
    const entry: HistoryEntry = { at: toInstant(now), kind: order.kind, text: `${orderText(order)}by ${by}` };
    const stored = await this.options.db.transaction().execute(async (transaction) => {
      const rollouts = new RolloutRepository(transaction);
      const before = await rollouts.require(address);
      const rollout = afterOrder(before.rollout, order, now);
      // One that is over holds no device any more: to lead them back it needs them again.
      const only = order.kind === 'rollback' ? order.devices : undefined;
      if (only !== undefined) await requireTouched(transaction, before, only);
      if (before.endedAt !== undefined) await takeAgain(transaction, before, only);
      if (!(await rollouts.compareAndSet(before, rollout, entry.at))) {
        throw new AppError(
          'rollout.conflict',
          `rollout ${String(address.number)} was changed at the same moment: look, then try again`,
        );
      }
      await rollouts.note(address, entry);
      await tellRules(transaction, before, rollout, entry);
      return rollouts.require(address);
    });
    this.changed(stored, entry);
    return stored;
  }

  private changed({ workspace, number }: StoredRollout, entry: HistoryEntry): void {
    const data = { rollout: number, ...entry };
    this.options.live.publish({ workspace, type: 'rollout.changed', subject: String(number), data });
    this.options.onChanged();
  }
}

async function draftIn(db: Database, workspace: string, fleet: Fleet, policy: RolloutPolicy): Promise<Draft> {
  const number = await new RolloutRepository(db).nextNumber(workspace);
  const members = await matchingDevices(db, workspace, fleet.query).select('devices.name').execute();
  const { where }: WaveSize = policy.waves[0] ?? {};
  const found =
    where === undefined ? [] : await matchingDevices(db, workspace, parseQuery(where)).select('devices.name').execute();
  const canaries = new Set(found.map(({ name }) => name));
  const names = new Set(members.map(({ name }) => name));
  const candidates = members.map(({ name }) => ({ device: name, canary: canaries.has(name) }));
  const claims = await new RolloutDevices(db).claims(workspace);
  return {
    number,
    waves: divideIntoWaves(String(number), policy, candidates),
    claims: claims.filter(({ device }) => names.has(device)),
  };
}

async function requireRelease(transaction: Database, workspace: string, release: string): Promise<void> {
  const [name = '', version] = release.split(':');
  const row = await transaction
    .selectFrom('releases')
    .select('name')
    .where('workspace', '=', workspace)
    .where('name', '=', name)
    .where('version', '=', Number(version))
    .where('deletedAt', 'is', null)
    .executeTakeFirst();
  if (row === undefined) throw new AppError('release.not-found', `release ${release} was deleted at this moment`);
}

/** @returns what devices had before those rollouts touched them, of those that had not done what was asked */
async function endSuperseded(
  transaction: Database,
  workspace: string,
  claims: readonly Claim[],
  by: number,
  now: number,
): Promise<ReadonlyMap<string, string>> {
  const at = toInstant(now);
  const rollouts = new RolloutRepository(transaction);
  for (const number of new Set(claims.map(({ rollout }) => rollout))) {
    const before = await rollouts.require({ workspace, number });
    const text = `superseded by rollout ${String(by)}`;
    const after: Rollout = { ...before.rollout, state: 'superseded', reason: { code: 'superseded', text } };
    await rollouts.compareAndSet(before, after, at);
    await new RolloutDevices(transaction).supersede(before, now);
    const entry = { at, kind: 'superseded', text };
    await rollouts.note(before, entry);
    await tellRules(transaction, before, after, entry);
  }
  return new Map(
    claims.flatMap(({ device, standing, previousJson }) =>
      previousJson === null || standing === 'succeeded' || standing === 'returned' ? [] : [[device, previousJson]],
    ),
  );
}

function orderText(order: Order): string {
  if (order.kind === 'resume' && order.ignoreFreeze === true) return 'freeze periods do not hold it any more, ';
  if (order.kind !== 'rollback' || order.devices === undefined) return '';
  const { devices } = order;
  return `${devices.slice(0, 5).join(', ')}${devices.length > 5 ? ` and ${String(devices.length - 5)} more` : ''}, `;
}

/** @throws AppError `rollout.state` for devices that it asked for nothing, which hence have nothing to go back to */
async function requireTouched(transaction: Database, stored: StoredRollout, devices: readonly string[]): Promise<void> {
  const touched = new Set(await new RolloutDevices(transaction).touched(stored));
  const others = devices.filter((device) => !touched.has(device));
  if (others.length === 0) return;
  const shown = others.slice(0, 5).join(', ') + (others.length > 5 ? ` and ${String(others.length - 5)} more` : '');
  throw new AppError(
    'rollout.state',
    `rollout ${String(stored.number)} has asked ${shown} for nothing: there is nothing to lead back there`,
    { details: { devices: others.slice(0, 20) } },
  );
}

/** @param only these devices; absent: all */
async function takeAgain(transaction: Database, stored: StoredRollout, only?: readonly string[]): Promise<void> {
  const rows = new RolloutDevices(transaction);
  const own = new Set(only ?? (await rows.names(stored)));
  const held = (await rows.claims(stored.workspace)).filter(({ device }) => own.has(device));
  if (held.length > 0) throw conflict(held);
  await rows.claim(stored, true, only);
}

function conflict(claims: readonly Claim[]): AppError {
  const rollouts = [...new Set(claims.map(({ rollout }) => rollout))];
  const devices = claims.map(({ device }) => device);
  const shown = devices.slice(0, 5).join(', ') + (devices.length > 5 ? ` and ${String(devices.length - 5)} more` : '');
  return new AppError(
    'rollout.conflict',
    `rollout ${rollouts.join(', ')} holds ${shown}: wait for it, abort it, or start with --supersede, which ends it`,
    { details: { rollouts, devices: devices.slice(0, 20), count: devices.length } },
  );
}
