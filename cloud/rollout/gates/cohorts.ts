/** Whose numbers a gate judges by: devices, spans and versions, so that none of both sides is ever mixed. Pure. */
import type { CohortDevice } from '#cloud/telemetry/telemetry-port.js';
import { inOrder } from '../order.js';
import type { Rollout, Standing } from '../rollout-model.js';
import type { Reference } from './gate-fields.js';
import { bindGate, type Gate } from './gate-kinds.js';
import type { Lack } from './gate-model.js';

/** A device of the rollout, as far as gates care. */
export interface Member {
  readonly device: string;
  readonly wave: number;
  readonly standing: Standing;
  readonly assignedAt?: number | undefined;
  readonly endedAt?: number | undefined;
  /** Digests of what it had before it was asked, by module; absent: it was not asked. */
  readonly previous?: ReadonlyMap<string, string> | undefined;
}

export interface CohortInput {
  readonly rollout: Pick<Rollout, 'id' | 'wave' | 'waveStartedAt'>;
  readonly startedAt: number;
  readonly members: readonly Member[];
  /** Digests that the release brings, by module. */
  readonly released: ReadonlyMap<string, ReadonlySet<string>>;
}

/** What is to be read for one module. */
export interface Cohorts {
  /** Of which telemetry is read. */
  readonly module: string;
  /** As the verdict names it; empty where the gate is of the machine. */
  readonly label: string;
  readonly candidate: readonly CohortDevice[];
  readonly reference: readonly CohortDevice[];
}

/** Of a larger cohort so many are read, by the rollout's order: reading must not cost what it guards. */
export const maxCohort = 500;

export function cohortsOf(gate: Gate, input: CohortInput): readonly Cohorts[] | Lack {
  const { rollout, members, released } = input;
  const { reference, readsMachine } = bindGate(gate);
  const wanted = 'module' in gate ? gate.module : undefined;
  const cohort = members.filter((one) => one.wave === rollout.wave && runsIt(one));
  if (cohort.length === 0) {
    return { what: 'samples', text: `no device of wave ${String(rollout.wave + 1)} has it yet` };
  }
  const names = wanted === undefined ? [...released.keys()].sort() : [wanted];
  const found = names.flatMap((module): Cohorts[] => {
    const digests = [...(released.get(module) ?? [])].sort();
    // With the same image before and after, nothing tells the numbers of both apart.
    const changed = cohort.filter(({ previous }) => !digests.includes(previous?.get(module) ?? ''));
    if (digests.length === 0 || changed.length === 0) return [];
    const candidate = first(rollout.id, changed).map((one) =>
      candidateOf(one, digests, rollout.waveStartedAt, gate.skipSeconds * 1000),
    );
    const compared = reference === undefined ? [] : referenceOf(reference, module, changed, input);
    return [{ module, label: readsMachine ? '' : module, candidate, reference: compared }];
  });
  if (found.length === 0) {
    const what = wanted ?? 'every module of the release';
    const text = `${what} has the image that it had before: numbers of both cannot be told apart`;
    return { what: 'version', text };
  }
  return readsMachine ? found.slice(0, 1) : found;
}

/** It was asked and nobody interfered, or it had the release already. */
function runsIt({ standing, previous }: Member): boolean {
  if (previous === undefined) return standing === 'succeeded';
  return standing !== 'overtaken' && standing !== 'gone';
}

function candidateOf(one: Member, digests: readonly string[], waveStartedAt: number, skipMs: number): CohortDevice {
  const fromMs = (one.previous === undefined ? waveStartedAt : (one.assignedAt ?? waveStartedAt)) + skipMs;
  const settledFrom = one.previous === undefined ? fromMs : Math.max(fromMs, one.endedAt ?? fromMs);
  const isSettled = one.standing === 'succeeded';
  return { device: one.device, fromMs, digests, ...(isSettled ? { settled: { fromMs: settledFrom } } : {}) };
}

function referenceOf(
  reference: Reference,
  module: string,
  changed: readonly Member[],
  { rollout, startedAt, members }: CohortInput,
): CohortDevice[] {
  const had = new Set(changed.flatMap(({ previous }) => previous?.get(module) ?? []));
  const digests = [...had].sort();
  if (reference === 'peers') {
    const later = members.filter((one) => one.wave > rollout.wave && one.previous === undefined);
    const peers = later.length > 0 ? later : members;
    const fromMs = later.length > 0 ? rollout.waveStartedAt : startedAt;
    return first(rollout.id, peers).map((one) => ({ ...spanOf(one, fromMs, undefined), digests }));
  }
  if (typeof reference === 'object' && 'from' in reference) {
    const [fromMs, toMs] = [Date.parse(reference.from), Date.parse(reference.to)];
    return first(rollout.id, members).map((one) => ({ ...spanOf(one, fromMs, toMs), digests }));
  }
  const beforeMs = (reference === 'before' ? 3600 : reference.beforeSeconds) * 1000;
  return first(rollout.id, changed).flatMap((one) => {
    const digest = one.previous?.get(module);
    if (digest === undefined || one.assignedAt === undefined) return [];
    // What it had before is told of until its last batch has come: the version says whose it is.
    return [{ ...spanOf(one, one.assignedAt - beforeMs, undefined), digests: [digest] }];
  });
}

function spanOf(one: Member, fromMs: number, toMs: number | undefined): Omit<CohortDevice, 'digests'> {
  const until = Math.min(one.assignedAt ?? Number.MAX_SAFE_INTEGER, toMs ?? Number.MAX_SAFE_INTEGER);
  return { device: one.device, fromMs, toMs, settled: { fromMs, toMs: until } };
}

function first(rollout: string, members: readonly Member[]): Member[] {
  return inOrder(rollout, members).slice(0, maxCohort);
}
