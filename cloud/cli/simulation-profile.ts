/** Profiles of simulated fleets: a built-in name, or a YAML file, checked field by field. */
import { nearest } from '#shared/kernel/names.js';
import { AppError } from '#shared/kernel/errors.js';
import { describeIssues } from '#shared/protocol/decode.js';
import {
  type SimulationProfile,
  type SimulationProfileName,
  simulationGroupSchema,
  simulationProfileSchema,
  simulationProfiles,
} from '#shared/protocol/simulation.js';
import type { CliIo } from './cli-io.js';
import { invalidFile, isMapping, refuseUnknownFields } from './yaml-fields.js';
import { readYamlInput } from './yaml-input.js';

export const profileNames = Object.keys(simulationProfiles) as SimulationProfileName[];
const topFields = Object.keys(simulationProfileSchema.shape);
const groupFields = Object.keys(simulationGroupSchema.shape);

/** @throws AppError `request.invalid` that names the file and the field, or the nearest profile */
export async function readProfile(io: CliIo, text: string): Promise<SimulationProfile> {
  const name = profileNames.find((known) => known === text);
  if (name !== undefined) return simulationProfileSchema.parse(simulationProfiles[name]);
  if (/^[a-z][a-z-]*$/.test(text)) {
    const near = nearest(text, profileNames);
    const help = near === undefined ? '' : `; did you mean ${near}?`;
    throw new AppError(
      'request.invalid',
      `--profile ${text}: the profiles are ${profileNames.join(', ')}${help} For a file write ./${text}`,
    );
  }
  return checkProfile(await readYamlInput(io, text), text === '-' ? 'standard input' : text);
}

export function checkProfile(value: unknown, where: string): SimulationProfile {
  if (!isMapping(value)) throw invalidFile(where, 'it is no mapping; write for example groups: []');
  refuseUnknownFields(value, topFields, where);
  const { groups } = value;
  if (Array.isArray(groups)) {
    for (const [index, group] of groups.entries()) {
      if (isMapping(group)) refuseUnknownFields(group, groupFields, where, `groups.${String(index)}.`);
    }
  }
  const parsed = simulationProfileSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw invalidFile(where, describeIssues(parsed.error));
}
