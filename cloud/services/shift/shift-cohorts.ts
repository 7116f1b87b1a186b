/** Whose numbers a gate of a shift judges by: deployments as sources of telemetry, and spans. Pure. */
import type { CohortDevice, ShadowQuestion } from '#cloud/telemetry/telemetry-port.js';
import { bindGate, type Gate } from '#cloud/rollout/gates/gate-kinds.js';
import { mirrorTag, sourceOf } from '../service-source.js';
import type { Shift, ShiftMember } from './shift-model.js';

export interface ShiftCohorts {
  /** As the verdict names it; empty where the gate is of the machine. */
  readonly label: string;
  readonly candidate: CohortPart;
  /** By module: another model may be another module. */
  readonly reference: readonly CohortPart[];
}

export interface CohortPart {
  readonly module: string;
  readonly devices: readonly CohortDevice[];
}

/** @param endpoint its name */
export function shiftCohorts(gate: Gate, endpoint: string, shift: Shift): ShiftCohorts {
  const { target, others } = shift;
  const { readsMachine } = bindGate(gate);
  const fromMs = shift.stageStartedAt + gate.skipSeconds * 1000;
  return {
    label: readsMachine ? '' : target.module,
    candidate: partOf(endpoint, target, { fromMs }),
    reference: others.flatMap((one) => {
      const span = spanOf(gate, one, shift);
      return span === undefined ? [] : [partOf(endpoint, one, span)];
    }),
  };
}

interface Span {
  readonly fromMs: number;
  readonly toMs?: number | undefined;
}

function spanOf(gate: Gate, { deployment }: ShiftMember, shift: Shift): Span | undefined {
  const { reference } = bindGate(gate);
  if (reference === undefined) return undefined;
  if (reference === 'peers') {
    // Who answers nothing any more is compared by what it did since the shift began.
    const answers = (shift.set.traffic[deployment] ?? 0) > 0;
    return { fromMs: answers ? shift.stageStartedAt : shift.startedAt };
  }
  if (typeof reference === 'object' && 'from' in reference) {
    return { fromMs: Date.parse(reference.from), toMs: Date.parse(reference.to) };
  }
  const beforeMs = (reference === 'before' ? 3600 : reference.beforeSeconds) * 1000;
  return { fromMs: shift.startedAt - beforeMs, toMs: shift.startedAt };
}

function partOf(endpoint: string, { deployment, module, digest }: ShiftMember, span: Span): CohortPart {
  const device = sourceOf(endpoint, deployment);
  return { module, devices: [{ device, digests: [digest], ...span }] };
}

/** Who tells how copies compared: those that answered the live requests, each of its own module. */
export function mirrorQuestions(
  endpoint: string,
  { target, others, stageStartedAt }: Shift,
): readonly MirrorQuestion[] {
  const tag = mirrorTag(target.deployment);
  return others.map(({ deployment, module }) => ({
    module,
    devices: [{ device: sourceOf(endpoint, deployment), fromMs: stageStartedAt, digest: target.digest, tag }],
  }));
}

export type MirrorQuestion = Omit<ShadowQuestion, 'workspace'>;
