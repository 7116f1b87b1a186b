/** `policy.yaml`: how a rollout goes, checked as the server will. Pure. */
import { describeIssues } from '#shared/protocol/decode.js';
import { checkPolicy, type RolloutPolicy, rolloutPolicySchema, waveFields } from '#cloud/rollout/policy.js';
import { refuseUnknownGateFields } from './gate-fields.js';
import { invalidFile, isMapping, refuseUnknownFields, refuseUnknownItemFields } from './yaml-fields.js';

const topKeys = Object.keys(rolloutPolicySchema.shape);

/** @throws AppError `request.invalid`, naming the field and the nearest valid one */
export function readPolicyFile(value: unknown, where: string): RolloutPolicy {
  if (!isMapping(value)) throw invalidFile(where, 'it is no mapping; write for example waves: [{count: 1}]');
  refuseUnknownFields(value, topKeys, where);
  const { waves, gates } = value;
  refuseUnknownGateFields(gates, where);
  refuseUnknownItemFields(waves, waveFields, where, 'waves');
  const parsed = rolloutPolicySchema.safeParse(value);
  if (!parsed.success) throw invalidFile(where, describeIssues(parsed.error));
  checkPolicy(parsed.data);
  return parsed.data;
}
