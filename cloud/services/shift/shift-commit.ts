/**
 * Carries out one planned step of a shift: weights, the document that says them, what the shift becomes, its verdicts and
 * history, all in one transaction that begins with a compare-and-set. A kill before its end leaves nothing, after it all.
 */
import { toInstant } from '#shared/kernel/clock.js';
import type { Database } from '#cloud/fleet/device-repository.js';
import type { GateVerdict } from '#cloud/rollout/gates/gate-model.js';
import { mostReplicas, type ServiceDeployment } from '../control/endpoint-model.js';
import { EndpointRepository } from '../control/endpoint-repository.js';
import { ServiceDeploymentRepository } from '../control/service-deployment-repository.js';
import type { ServicesDocument } from '../control/services-document.js';
import { checkTraffic } from '../control/traffic.js';
import { afterShiftStep, withShiftHolds } from './apply.js';
import { overtakenBy } from './overtaken.js';
import type { Present, PresentDeployment, ShiftHold, ShiftTransition, Weights } from './shift-model.js';
import { type ShiftEntry, ShiftRepository, type StoredShift } from './shift-repository.js';
import { tellShiftRules } from './tell.js';
import { describeShiftStep } from './words.js';

export interface ShiftStepInput {
  readonly stored: StoredShift;
  readonly transition?: ShiftTransition | undefined;
  readonly holds: readonly ShiftHold[];
  /** What the step rests on. */
  readonly verdicts: readonly GateVerdict[];
  readonly now: number;
  /** Added to what the history says of the step, such as who asked for it. */
  readonly by?: string | undefined;
}

export interface CommittedShift {
  readonly stored: StoredShift;
  readonly entries: readonly ShiftEntry[];
}

/** Somebody changed the shift or its endpoint since it was looked at: nothing was written, it is to be looked at again. */
class Stale extends Error {}

/** @returns undefined when it has to be looked at again */
export async function commitShiftStep(
  db: Database,
  document: ServicesDocument,
  input: ShiftStepInput,
): Promise<CommittedShift | undefined> {
  const weights = weightsIn(input.transition);
  try {
    if (weights === undefined) return await db.transaction().execute((transaction) => write(transaction, input));
    return await document.change(async (transaction, generation) => {
      await setWeights(transaction, input, weights, generation);
      return write(transaction, input);
    });
  } catch (error) {
    if (error instanceof Stale) return undefined;
    throw error;
  }
}

/** The endpoint of a shift as it is now. */
export async function presentOf(db: Database, endpoint: string): Promise<Present> {
  const found = await new EndpointRepository(db).findById(endpoint);
  if (found === undefined) return undefined;
  const { traffic, mirror } = found;
  const deployments = await new ServiceDeploymentRepository(db).current(endpoint);
  return { weights: { traffic, mirror }, deployments: deployments.map(toPresent) };
}

function toPresent({ name, revision, service }: ServiceDeployment): PresentDeployment {
  return { name, revision, empty: mostReplicas(service) === 0 };
}

function weightsIn(transition: ShiftTransition | undefined): Weights | undefined {
  return transition?.kind === 'advance' || transition?.kind === 'return' ? transition.weights : undefined;
}

async function setWeights(
  transaction: Database,
  { stored, now }: ShiftStepInput,
  { traffic, mirror }: Weights,
  generation: number,
): Promise<void> {
  const present = await presentOf(transaction, stored.endpoint);
  if (present === undefined || overtakenBy(stored.shift, present) !== undefined) throw new Stale();
  const names = present.deployments.map(({ name }) => name);
  const checked = checkTraffic(stored.endpoint, names, traffic, mirror);
  const change = { traffic: checked, mirror: mirror ?? null, generation, updatedAt: toInstant(now) };
  await new EndpointRepository(transaction).change(stored.endpoint, change);
}

async function write(transaction: Database, input: ShiftStepInput): Promise<CommittedShift> {
  const { stored, transition, holds, verdicts, now, by } = input;
  const at = toInstant(now);
  const held = withShiftHolds(stored.shift, holds);
  const shift = transition === undefined ? held : afterShiftStep(held, transition, now);
  const shifts = new ShiftRepository(transaction);
  if (!(await shifts.compareAndSet(stored, shift, at))) throw new Stale();
  if (transition !== undefined && stored.shift.stage >= 0 && verdicts.length > 0) {
    await shifts.storeVerdicts(stored, stored.shift.stage, at, verdicts);
  }
  const entries: ShiftEntry[] = holds.map(({ text }) => ({ at, kind: 'held', text }));
  if (transition !== undefined) {
    const { kind, text } = describeShiftStep(transition);
    entries.push({ at, kind, text: by === undefined ? text : `${text}, by ${by}` });
  }
  const after = { ...stored, shift, revision: stored.revision + 1 };
  for (const entry of entries) await noteEntry(transaction, after, entry);
  return { stored: after, entries };
}

/** Into its history, and to whoever asked to be told. */
export async function noteEntry(transaction: Database, stored: StoredShift, entry: ShiftEntry): Promise<void> {
  await new ShiftRepository(transaction).note(stored, entry);
  await tellShiftRules(transaction, stored, entry);
}
