/** `policy.yaml`: how a rollout goes, checked as the server will. Pure. */
import { describeIssues } from '#shared/protocol/decode.js';
import { checkPolicy, type RolloutPolicy, rolloutPolicySchema, waveFields } from '#cloud/rollout/policy.js';
import { gateFields } from '#cloud/rollout/gates/gate-kinds.js';
import { invalidFile, isMapping, refuseUnknownFields } from './yaml-fields.js';

const topKeys = Object.keys(rolloutPolicySchema.shape);

/** @throws AppError `request.invalid`, naming the field and the nearest valid one */
export function readPolicyFile(value: unknown, where: string): RolloutPolicy {
  if (!isMapping(value)) throw invalidFile(where, 'it is no mapping; write for example waves: [{count: 1}]');
  refuseUnknownFields(value, topKeys, where);
  const { waves, gates } = value;
  if (isMapping(gates)) {
    for (const [name, gate] of Object.entries(gates)) {
      const fields = isMapping(gate) ? gateFields(gate['kind']) : undefined;
      if (isMapping(gate) && fields) refuseUnknownFields(gate, fields, where, `gates.${name}.`);
    }
  }
  if (Array.isArray(waves)) {
    for (const [index, wave] of waves.entries()) {
      if (isMapping(wave)) refuseUnknownFields(wave, waveFields, where, `waves.${String(index)}.`);
    }
  }
  const parsed = rolloutPolicySchema.safeParse(value);
  if (!parsed.success) throw invalidFile(where, describeIssues(parsed.error));
  checkPolicy(parsed.data);
  return parsed.data;
}
