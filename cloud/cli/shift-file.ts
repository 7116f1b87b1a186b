/** `shift.yaml`: how a shift goes, checked as the server will. Pure. */
import { describeIssues } from '#shared/protocol/decode.js';
import { gateFields } from '#cloud/rollout/gates/gate-kinds.js';
import {
  checkShiftPolicy,
  shiftMirrorSchema,
  type ShiftPolicy,
  shiftPolicySchema,
  shiftStepFields,
} from '#cloud/services/shift/shift-policy.js';
import { invalidFile, isMapping, refuseUnknownFields } from './yaml-fields.js';

const topKeys = Object.keys(shiftPolicySchema.shape);
const mirrorKeys = Object.keys(shiftMirrorSchema.shape);

/** @throws AppError `request.invalid`, naming the field and the nearest valid one */
export function readShiftFile(value: unknown, where: string): ShiftPolicy {
  if (!isMapping(value)) throw invalidFile(where, 'it is no mapping; write for example steps: [{ percent: 100 }]');
  refuseUnknownFields(value, topKeys, where);
  const { steps, gates, mirror } = value;
  if (isMapping(mirror)) refuseUnknownFields(mirror, mirrorKeys, where, 'mirror.');
  if (isMapping(gates)) {
    for (const [name, gate] of Object.entries(gates)) {
      const fields = isMapping(gate) ? gateFields(gate['kind']) : undefined;
      if (isMapping(gate) && fields) refuseUnknownFields(gate, fields, where, `gates.${name}.`);
    }
  }
  if (Array.isArray(steps)) {
    for (const [index, step] of steps.entries()) {
      if (isMapping(step)) refuseUnknownFields(step, shiftStepFields, where, `steps.${String(index)}.`);
    }
  }
  const parsed = shiftPolicySchema.safeParse(value);
  if (!parsed.success) throw invalidFile(where, describeIssues(parsed.error));
  checkShiftPolicy(parsed.data);
  return parsed.data;
}
