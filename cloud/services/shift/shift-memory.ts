/**
 * What replicas hold of memory while a step of a shift lasts: telemetry of deployments does not tell it, the service host
 * does, now. Kept in memory only: after a start of the control plane a step's readings begin anew.
 */
import type { ModuleNumbers } from '#cloud/telemetry/cohort-numbers.js';
import type { ServicesStatus } from '../services-status.js';
import type { ShiftMember } from './shift-model.js';
import type { ShiftAddress, StoredShift } from './shift-repository.js';

type Readings = ModuleNumbers['memory'];

/** Bytes of one replica each. */
export interface MemoryReadings {
  readonly candidate: Readings;
  readonly reference: Readings;
}

/** Of the target since the stage began, of the others since the shift did: they may end when nobody asks them. */
interface OfGate extends MemoryReadings {
  readonly stage: number;
}

export class ShiftMemory {
  private readonly shifts = new Map<string, Map<string, OfGate>>();

  /** One reading of each replica that answers, for each gate of its memory. */
  note(stored: StoredShift, status: ServicesStatus, now: number): void {
    const { shift, policy, endpoint } = stored;
    if (shift.state !== 'running') return;
    for (const [name, gate] of Object.entries(policy.gates ?? {})) {
      if (gate.kind !== 'memory') continue;
      const { candidate, reference } = this.of(stored, name);
      if (now >= shift.stageStartedAt + gate.skipSeconds * 1000) add(candidate, status, endpoint, shift.target);
      for (const one of shift.others) add(reference, status, endpoint, one);
    }
  }

  of(stored: StoredShift, gate: string): MemoryReadings {
    const { stage } = stored.shift;
    const gates = this.shifts.get(keyOf(stored)) ?? new Map<string, OfGate>();
    const known = gates.get(gate);
    if (known?.stage === stage) return known;
    const begun = { stage, candidate: noReadings(), reference: known?.reference ?? noReadings() };
    this.shifts.set(keyOf(stored), gates.set(gate, begun));
    return begun;
  }

  forget(address: ShiftAddress): void {
    this.shifts.delete(keyOf(address));
  }
}

const noReadings = (): Readings => ({ count: 0, sum: 0 });

function add(into: Readings, { endpoints }: ServicesStatus, endpoint: string, of: ShiftMember): void {
  const own = endpoints.find(({ id }) => id === endpoint);
  const replicas = own?.deployments.find(({ name }) => name === of.deployment)?.replicas ?? [];
  for (const { state, revision, residentBytes } of replicas) {
    if (state !== 'ready' || revision !== of.revision || residentBytes === undefined) continue;
    into.count += 1;
    into.sum += residentBytes;
  }
}

function keyOf({ endpoint, number }: Pick<ShiftAddress, 'endpoint' | 'number'>): string {
  return `${endpoint}/${String(number)}`;
}
