/** `shift.yaml`: how a shift goes, checked as the server will. Pure. */
import { describeIssues } from '#shared/protocol/decode.js';
import {
  checkShiftPolicy,
  shiftMirrorSchema,
  type ShiftPolicy,
  shiftPolicySchema,
  shiftStepFields,
} from '#cloud/services/shift/shift-policy.js';
import { refuseUnknownGateFields } from './gate-fields.js';
import { invalidFile, isMapping, refuseUnknownFields, refuseUnknownItemFields } from './yaml-fields.js';

const topKeys = Object.keys(shiftPolicySchema.shape);
const mirrorKeys = Object.keys(shiftMirrorSchema.shape);

/** @throws AppError `request.invalid`, naming the field and the nearest valid one */
export function readShiftFile(value: unknown, where: string): ShiftPolicy {
  if (!isMapping(value)) throw invalidFile(where, 'it is no mapping; write for example steps: [{ percent: 100 }]');
  refuseUnknownFields(value, topKeys, where);
  const { steps, gates, mirror } = value;
  if (isMapping(mirror)) refuseUnknownFields(mirror, mirrorKeys, where, 'mirror.');
  refuseUnknownGateFields(gates, where);
  refuseUnknownItemFields(steps, shiftStepFields, where, 'steps');
  const parsed = shiftPolicySchema.safeParse(value);
  if (!parsed.success) throw invalidFile(where, describeIssues(parsed.error));
  checkShiftPolicy(parsed.data);
  return parsed.data;
}
