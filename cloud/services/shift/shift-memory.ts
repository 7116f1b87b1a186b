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

interface OfStage {
  readonly stage: number;
  readonly gates: Map<string, MemoryReadings>;
}

export class ShiftMemory {
  private readonly stages = new Map<string, OfStage>();

  /** One reading of each replica that answers, for each gate of its memory. */
  note(stored: StoredShift, status: ServicesStatus, now: number): void {
    const { shift, policy, endpoint } = stored;
    if (shift.state !== 'running') return;
    for (const [name, gate] of Object.entries(policy.gates ?? {})) {
      if (gate.kind !== 'memory' || now < shift.stageStartedAt + gate.skipSeconds * 1000) continue;
      const { candidate, reference } = this.of(stored, name);
      add(candidate, status, endpoint, shift.target);
      for (const one of shift.others)
        if ((shift.set.traffic[one.deployment] ?? 0) > 0) add(reference, status, endpoint, one);
    }
  }

  of(stored: StoredShift, gate: string): MemoryReadings {
    const key = keyOf(stored);
    const { stage } = stored.shift;
    const known = this.stages.get(key);
    const current = known?.stage === stage ? known : { stage, gates: new Map<string, MemoryReadings>() };
    this.stages.set(key, current);
    const own = current.gates.get(gate) ?? { candidate: { count: 0, sum: 0 }, reference: { count: 0, sum: 0 } };
    current.gates.set(gate, own);
    return own;
  }

  forget(address: ShiftAddress): void {
    this.stages.delete(keyOf(address));
  }
}

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
