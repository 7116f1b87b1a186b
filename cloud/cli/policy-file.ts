/** `policy.yaml`: how a rollout goes, checked as the server will. Pure. */
import { AppError } from '#shared/kernel/errors.js';
import { nearest } from '#shared/kernel/names.js';
import { describeIssues } from '#shared/protocol/decode.js';
import { checkPolicy, type RolloutPolicy, rolloutPolicySchema, waveFields } from '#cloud/rollout/policy.js';

const topKeys = Object.keys(rolloutPolicySchema.shape);

/** @throws AppError `request.invalid`, naming the field and the nearest valid one */
export function readPolicyFile(value: unknown, where: string): RolloutPolicy {
  if (!isMapping(value)) throw invalid(where, 'it is no mapping; write for example waves: [{count: 1}]');
  refuseUnknown(value, topKeys, where, '');
  const { waves } = value;
  if (Array.isArray(waves)) {
    for (const [index, wave] of waves.entries()) {
      if (isMapping(wave)) refuseUnknown(wave, waveFields, where, `waves.${String(index)}.`);
    }
  }
  const parsed = rolloutPolicySchema.safeParse(value);
  if (!parsed.success) throw invalid(where, describeIssues(parsed.error));
  checkPolicy(parsed.data);
  return parsed.data;
}

function refuseUnknown(value: object, known: readonly string[], where: string, prefix: string): void {
  for (const key of Object.keys(value)) {
    if (known.includes(key)) continue;
    const near = nearest(key, known);
    const help = near === undefined ? `known are ${known.join(', ')}` : `did you mean ${prefix}${near}?`;
    throw invalid(where, `there is no field ${prefix}${key}; ${help}`);
  }
}

function isMapping(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function invalid(where: string, what: string): AppError {
  return new AppError('request.invalid', `${where}: ${what}`);
}
