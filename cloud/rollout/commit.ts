/**
 * Carries out one planned step: what was judged, what devices are asked, and what the rollout becomes, all in one
 * transaction that begins with a compare-and-set on the rollout. A kill before its end leaves nothing, after it all.
 */
import { toInstant } from '#shared/kernel/clock.js';
import { AppError, type ErrorCode } from '#shared/kernel/errors.js';
import { DeploymentRepository } from '#cloud/fleet/deployment-repository.js';
import type { DeployedModule } from '#cloud/fleet/desired-document.js';
import { type Database, type DesiredNow, DeviceRepository } from '#cloud/fleet/device-repository.js';
import { PrefetchRepository } from '#cloud/fleet/prefetch-repository.js';
import type { ReleasedModule } from '#cloud/fleet/release-plan.js';
import { DeviceLayers } from '#cloud/fleet/layers/device-layers.js';
import type { DeployedSet, ReleaseDeployment } from '#cloud/fleet/module-deployment.js';
import type { Twin } from '#cloud/fleet/twin.js';
import { prefetch } from './ask-prefetch.js';
import { afterAssignment, afterTransition } from './apply.js';
import { GateRepository } from './gates/gate-repository.js';
import { withHolds } from './holds.js';
import { withOutcome } from './judge.js';
import type { ShadowPhase } from './shadow/shadow-phase.js';
import type { Plan } from './plan.js';
import { type Assignment, isFinal, type Outcome } from './rollout-model.js';
import { type LoadedDevice, type Previous, RolloutDevices } from './rollout-devices.js';
import { type HistoryEntry, RolloutRepository, type StoredRollout } from './rollout-repository.js';
import { tellRules } from './tell.js';
import type { RolloutPolicy } from './policy.js';
import { describeTransition } from './words.js';

/** So many devices are asked in one transaction; the others by the next plan. */
const askedAtOnce = 100;

/** A device that cannot be asked: its image is gone, its document too large. */
export class CannotAsk extends Error {
  constructor(
    readonly assignment: Assignment,
    readonly problem: { readonly code: ErrorCode; readonly message: string },
  ) {
    super(problem.message);
  }
}

export interface Committed {
  readonly entries: readonly HistoryEntry[];
  /** The outbox has something. */
  readonly asked: boolean;
  /** The rollout as it is now. */
  readonly stored: StoredRollout;
}

export interface CommitInput {
  readonly stored: StoredRollout;
  /** Needed where devices are asked for it; one that is over may be rolled back without it. */
  readonly release: ReleaseDeployment | undefined;
  readonly devices: readonly LoadedDevice[];
  readonly plan: Plan;
  readonly shadows: Pick<ShadowPhase, 'beginWithin'>;
  readonly now: number;
}

/** @returns undefined when somebody else changed the rollout since it was read. @throws CannotAsk */
export async function commitStep(db: Database, twin: Twin, input: CommitInput): Promise<Committed | undefined> {
  const { stored, plan, now } = input;
  const at = toInstant(now);
  const { holds = [] } = plan;
  const held = withHolds(stored.rollout, holds);
  const rollout = plan.transition ? afterTransition(held, plan.transition, now) : held;
  return db.transaction().execute(async (transaction) => {
    const rollouts = new RolloutRepository(transaction);
    const rows = new RolloutDevices(transaction);
    if (!(await rollouts.compareAndSet(stored, rollout, at))) return undefined;
    const entries: HistoryEntry[] = [];
    for (const outcome of plan.outcomes) {
      await rows.judge(stored, outcome);
      entries.push({ at, kind: outcome.standing, device: outcome.device, text: outcome.reason?.message ?? '' });
    }
    if (plan.joins.length > 0) {
      const wave = stored.rollout.waves - 1;
      await rows.insert(
        stored,
        plan.joins.map((device) => ({ device, wave })),
      );
      for (const device of plan.joins) entries.push({ at, kind: 'joined', device, text: '' });
    }
    const asked = plan.assignments.slice(0, askedAtOnce);
    const known = await knownOf(transaction, input, asked);
    for (const assignment of asked) {
      const entry = await ask(transaction, twin, input, assignment, known.get(assignment.device));
      if (entry !== undefined) entries.push(entry);
    }
    const beginning = plan.shadowing.slice(0, askedAtOnce);
    for (const device of beginning) {
      const entry = await beginShadow(transaction, input, device);
      if (entry !== undefined) entries.push(entry);
    }
    const fetching = await prefetch(transaction, twin, input);
    entries.push(...fetching);
    if (plan.gates.length > 0) {
      await new GateRepository(transaction).store(stored, stored.rollout.wave, at, plan.gates);
    }
    for (const { text } of holds) entries.push({ at, kind: 'held', text });
    if (plan.transition) entries.push({ at, ...describeTransition(plan.transition) });
    for (const entry of entries) {
      await rollouts.note(stored, entry);
      await tellRules(transaction, stored, rollout, entry);
    }
    if (isFinal(rollout.state)) await rows.claim(stored, false);
    const after = { ...stored, rollout, revision: stored.revision + 1 };
    return { entries, asked: asked.length + beginning.length + fetching.length > 0, stored: after };
  });
}

/**
 * What is left of a plan once its first part is committed. It holds without another look: it was planned as one, and a
 * device is asked only while its twin is as it was looked at.
 */
export function restOf({ assignments }: Plan): Plan | undefined {
  const left = assignments.slice(askedAtOnce);
  if (left.length === 0) return undefined;
  return { outcomes: [], assignments: left, waiting: [], joins: [], shadowing: [], gates: [] };
}

interface Known {
  readonly loaded: LoadedDevice;
  readonly outcome: Outcome | undefined;
  /** Its twin now. */
  readonly desired: DesiredNow | undefined;
  /** Kept since it was first asked. */
  readonly previousJson: string | undefined;
  readonly modules: readonly DeployedModule[];
}

/** Of the devices that are asked: one pass over a fleet that may be large, and one question each for all of them. */
async function knownOf(
  transaction: Database,
  { stored, devices, plan }: CommitInput,
  asked: readonly Assignment[],
): Promise<ReadonlyMap<string, Known>> {
  if (asked.length === 0) return new Map();
  const { workspace } = stored;
  const names = asked.map(({ device }) => device);
  const among = new Set(names);
  const outcomes = new Map(plan.outcomes.map((outcome) => [outcome.device, outcome]));
  const desired = await new DeviceRepository(transaction).listDesired(workspace, names);
  const previous = await new RolloutDevices(transaction).previousOf(stored, names);
  const modules = await new DeploymentRepository(transaction).listCurrent(workspace, names);
  return new Map(
    devices
      .filter(({ device }) => among.has(device))
      .map((loaded) => [
        loaded.device,
        {
          ...{ loaded, outcome: outcomes.get(loaded.device), desired: desired.get(loaded.device) },
          ...{ previousJson: previous.get(loaded.device), modules: modules.get(loaded.device) ?? [] },
        },
      ]),
  );
}

async function ask(
  transaction: Database,
  twin: Twin,
  { stored, release, now }: CommitInput,
  assignment: Assignment,
  known: Known | undefined,
): Promise<HistoryEntry | undefined> {
  const { device, action } = assignment;
  const address = { workspace: stored.workspace, device };
  // Changed since it was looked at: planned anew.
  if (known?.desired === undefined || known.desired.generation !== known.loaded.desiredGeneration) return undefined;
  const { desired, modules } = known;
  const previousJson = known.previousJson ?? (await previousFrom(transaction, address, desired.release, modules));
  if (action === 'deploy' && release === undefined) throw new Error(`${stored.release} was not loaded`);
  const wanted =
    action === 'deploy' && release !== undefined
      ? { ...within(release, stored.policy), release: stored.release }
      : returnTo(previousJson);
  await new PrefetchRepository(transaction).drop(address, stored.number);
  let generation: number;
  try {
    ({ generation } = await twin.deploySetWithin(transaction, address, wanted, wanted.release, modules));
  } catch (error) {
    if (error instanceof AppError) throw new CannotAsk(assignment, { code: error.code, message: error.message });
    throw error;
  }
  const judged = withOutcome(known.loaded, known.outcome);
  const outcome = afterAssignment(judged, assignment, now);
  await new RolloutDevices(transaction).assigned(stored, outcome, {
    generation,
    askedRelease: wanted.release,
    previousJson,
  });
  const what = action === 'deploy' ? stored.release : wanted.release || 'the modules it had';
  return {
    ...{ at: toInstant(now), kind: outcome.standing, device },
    text: `asked for ${what}, generation ${String(generation)}${outcome.attempts > 1 && action === 'deploy' ? `, attempt ${String(outcome.attempts)}` : ''}`,
  };
}

async function beginShadow(
  transaction: Database,
  { stored, release, shadows, now }: CommitInput,
  device: string,
): Promise<HistoryEntry | undefined> {
  try {
    const generation = await shadows.beginWithin(transaction, stored, release?.modules ?? [], device, now);
    if (generation === undefined) return undefined;
    const text = `runs ${stored.release} beside what answers, generation ${String(generation)}`;
    return { at: toInstant(now), kind: 'shadowing', device, text };
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    throw new CannotAsk({ device, action: 'deploy' }, { code: error.code, message: error.message });
  }
}

async function previousFrom(
  transaction: Database,
  address: { readonly workspace: string; readonly device: string },
  release: string,
  modules: readonly DeployedModule[],
): Promise<string> {
  const beneath = await new DeviceLayers(transaction).of(address);
  const previous: Previous = {
    ...{ release, ...(beneath && { beneath }) },
    modules: modules.map(({ module, settings, policy, update, routes = {}, startAfter = [], image }) => {
      const { name, version, digest } = image;
      return { module, settings, policy, update, routes, startAfter, image: { name, version, digest } };
    }),
  };
  return JSON.stringify(previous);
}

/** The windows of a rollout take the place of those that the release says. */
function within(release: ReleaseDeployment, { windows }: Pick<RolloutPolicy, 'windows'>): DeployedSet {
  if (windows === undefined) return release;
  const modules = release.modules.map((one) => ({ ...one, update: { ...one.update, windows } }));
  return { ...release, modules, windows };
}

/** The layers that it had are a part of what it had. */
function returnTo(previousJson: string): DeployedSet & { readonly release: string } {
  const { release, modules, beneath } = JSON.parse(previousJson) as Previous;
  const { base = [], layers = [] } = beneath ?? {};
  return {
    ...{ release, atomic: false, modules: modules.map(backAtOnce) },
    beneath: { base: base.map((one) => ({ ...backAtOnce(one), requires: one.requires })), layers },
  };
}

/** Going back waits for no window. */
function backAtOnce({ update, ...one }: Previous['modules'][number]): ReleasedModule {
  const { windows: _windows, ...rest } = update;
  return { ...one, update: rest, requires: {} };
}

/** Instead of the step that could not be carried out: the device has failed. */
export function failureOf({ assignment: { device, action }, problem }: CannotAsk, now: number): Outcome {
  return { device, standing: action === 'deploy' ? 'failed' : 'return-failed', endedAt: now, reason: problem };
}
