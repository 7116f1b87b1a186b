/** What every gate of a rollout says of the wave whose turn it is. Pure. */
import { bindGate, type Gate, type Gates } from './gate-kinds.js';
import type { Evidence, GateVerdict, Judgement, Lack } from './gate-model.js';

/** What was read for one gate. */
export type GateReading =
  | { readonly gate: string; readonly evidence: readonly Evidence[] }
  /** There is nothing to judge by, for that reason. */
  | { readonly gate: string; readonly lack: Lack };

/** @returns by the gates' names, then by module; a gate says something always, be it that it lacks everything */
export function judgeGates(gates: Gates, readings: readonly GateReading[]): GateVerdict[] {
  return Object.keys(gates)
    .sort()
    .flatMap((name): GateVerdict[] => {
      const gate = gates[name];
      if (gate === undefined) return [];
      const reading = readings.find((one) => one.gate === name);
      const lack: Lack = { what: 'samples', text: 'nothing was read yet' };
      if (reading === undefined) return [without(name, gate, lack)];
      if ('lack' in reading) return [without(name, gate, reading.lack)];
      if (reading.evidence.length === 0) return [without(name, gate, lack)];
      return [...reading.evidence]
        .sort((a, b) => (a.module < b.module ? -1 : 1))
        .map((evidence) => judgeOne(name, gate, evidence));
    });
}

function judgeOne(name: string, gate: Gate, evidence: Evidence): GateVerdict {
  const { measure, judge } = bindGate(gate);
  const { candidate, module, devices } = evidence;
  const head = { gate: name, kind: gate.kind, measure, module, told: candidate.devices, devices };
  return { ...head, ...heldToSamples(judge(evidence), gate.minSamples) };
}

/** Whatever a kind makes of it: with fewer samples than the policy asks for nothing passes. */
function heldToSamples(judgement: Judgement, minSamples: number): Judgement {
  const { verdict, samples } = judgement;
  if (verdict !== 'pass' || samples >= minSamples) return judgement;
  const text = `${String(samples)} of ${String(minSamples)} samples`;
  return { ...judgement, verdict: 'undecided', lack: { what: 'samples', text, needed: minSamples } };
}

function without(name: string, gate: Gate, lack: Lack): GateVerdict {
  const { measure } = bindGate(gate);
  const module = ('module' in gate ? gate.module : undefined) ?? '';
  const nothing = { unit: 'share', value: null, reference: null, bound: null, samples: 0 } as const;
  return { gate: name, kind: gate.kind, measure, module, told: 0, devices: 0, verdict: 'undecided', ...nothing, lack };
}
