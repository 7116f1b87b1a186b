/** Reads what the stage of a shift is judged by from the telemetry store, and judges it. */
import type { GateVerdict } from '#cloud/rollout/gates/gate-model.js';
import { type GateReading, judgeGates } from '#cloud/rollout/gates/judge-gates.js';
import { addTold, nothingTold } from '#cloud/rollout/shadow/add-told.js';
import { judgeShadows } from '#cloud/rollout/shadow/shadow-verdicts.js';
import { addNumbers, type ModuleNumbers, noNumbers } from '#cloud/telemetry/cohort-numbers.js';
import type { TelemetryPort } from '#cloud/telemetry/telemetry-port.js';
import { type CohortPart, mirrorQuestions, shiftCohorts } from './shift-cohorts.js';
import { stagesOf } from './shift-model.js';
import type { ShiftMirror } from './shift-policy.js';
import type { ShiftMemory } from './shift-memory.js';
import type { StoredShift } from './shift-repository.js';

export class ShiftEvidence {
  constructor(private readonly telemetry: Pick<TelemetryPort, 'cohort' | 'shadows'>) {}

  /**
   * @param endpoint its name
   * @returns of the stage whose turn it is; none before the first
   */
  async verdicts(
    endpoint: string,
    stored: StoredShift,
    memory: Pick<ShiftMemory, 'of'>,
  ): Promise<readonly GateVerdict[]> {
    const { shift, policy } = stored;
    const stage = stagesOf(policy)[shift.stage];
    if (stage === undefined) return [];
    if (stage.kind === 'step') return this.gates(endpoint, stored, memory);
    return policy.mirror === undefined ? [] : this.copies(endpoint, stored, policy.mirror);
  }

  private async gates(endpoint: string, stored: StoredShift, memory: Pick<ShiftMemory, 'of'>): Promise<GateVerdict[]> {
    const { workspace, policy, shift } = stored;
    const { gates = {} } = policy;
    const readings: GateReading[] = [];
    // Gates over the same deployments and spans read them once.
    const known = new Map<string, Promise<ModuleNumbers>>();
    const numbersOf = ({ module, devices }: CohortPart): Promise<ModuleNumbers> => {
      const key = JSON.stringify([module, devices]);
      const asked = known.get(key) ?? this.telemetry.cohort({ workspace, module, devices, machine: false });
      known.set(key, asked);
      return asked;
    };
    for (const [gate, fields] of Object.entries(gates)) {
      const { label, candidate, reference } = shiftCohorts(fields, endpoint, shift);
      const [own, before] = [noNumbers(), noNumbers()];
      if (fields.kind === 'memory') {
        const read = memory.of(stored, gate);
        Object.assign(own.memory, read.candidate);
        Object.assign(before.memory, read.reference);
        own.devices = read.candidate.count > 0 ? 1 : 0;
      } else {
        addNumbers(own, await numbersOf(candidate));
        for (const part of reference) addNumbers(before, await numbersOf(part));
      }
      readings.push({ gate, evidence: [{ module: label, devices: 1, candidate: own, reference: before }] });
    }
    return judgeGates(gates, readings);
  }

  private async copies(
    endpoint: string,
    { workspace, shift }: StoredShift,
    mirror: ShiftMirror,
  ): Promise<GateVerdict[]> {
    let all = nothingTold;
    const questions = mirrorQuestions(endpoint, shift);
    for (const question of questions) {
      all = addTold(all, await this.telemetry.shadows({ workspace, ...question }));
    }
    return judgeShadows(mirror, [{ module: shift.target.module, ...all, devices: questions.length }]);
  }
}
