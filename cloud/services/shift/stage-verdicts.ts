/** What verdicts mean for the stage of a shift: what stops it, and what it still waits for. Pure. */
import type { GateVerdict } from '#cloud/rollout/gates/gate-model.js';
import { verdictsInOrder } from '#cloud/rollout/gates/gate-step.js';
import { describeVerdict } from '#cloud/rollout/gates/gate-words.js';
import { shadowGate } from '#cloud/rollout/shadow/shadow-verdicts.js';
import type { Shift, ShiftReason, Stage } from './shift-model.js';
import type { ShiftPolicy } from './shift-policy.js';

export interface StageContext {
  readonly shift: Pick<Shift, 'stage' | 'acceptedGates'>;
  readonly stage: Stage;
  readonly policy: Pick<ShiftPolicy, 'gates'>;
  /** Of this stage; absent: nobody looked, or nothing could be read. */
  readonly verdicts?: readonly GateVerdict[] | undefined;
}

/** A gate says that it is worse: with more samples or later it would say no better. */
export function failedIn(context: StageContext): ShiftReason | undefined {
  const failed = verdictsInOrder(context.verdicts ?? []).filter(
    (one) => one.verdict === 'fail' && !isAccepted(nameOf(one), context.shift),
  );
  const [first] = failed;
  if (first === undefined) return undefined;
  const others = failed.length > 1 ? `; and ${String(failed.length - 1)} more` : '';
  const text = `${describeVerdict(first)}${others}`;
  return { code: 'gate', text, gates: [...new Set(failed.map(nameOf))].sort() };
}

export interface OpenGate {
  readonly gate: string;
  /** What it lacks, in words. */
  readonly text: string;
}

/** What has not passed: empty when the stage may be left as far as gates go. */
export function openIn({ shift, stage, policy, verdicts = [] }: StageContext): readonly OpenGate[] {
  const names = stage.kind === 'mirror' ? [shadowGate] : Object.keys(policy.gates ?? {}).sort();
  const said = verdictsInOrder(verdicts);
  return names
    .filter((gate) => !isAccepted(gate, shift))
    .flatMap((gate): OpenGate[] => {
      const own = said.filter((one) => nameOf(one) === gate);
      const open = own.find(({ verdict }) => verdict !== 'pass');
      if (open !== undefined) return [{ gate, text: describeVerdict(open) }];
      return own.length > 0 ? [] : [{ gate, text: `gate ${gate}: nothing was read yet` }];
    });
}

/** Somebody resumed the shift after it had failed in this stage. */
export function isAccepted(gate: string, { stage, acceptedGates }: StageContext['shift']): boolean {
  return acceptedGates?.stage === stage && acceptedGates.gates.includes(gate);
}

/** What is accepted or told of as one: agreement, errors and latency of copies are. */
export function nameOf({ gate, kind }: Pick<GateVerdict, 'gate' | 'kind'>): string {
  return kind === shadowGate ? shadowGate : gate;
}
