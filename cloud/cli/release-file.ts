/** `release.yaml`: a release as one file, checked as the server will. Pure. */
import * as z from 'zod';
import { nearest } from '#shared/kernel/names.js';
import { describeIssues } from '#shared/protocol/decode.js';
import { releaseContents, releaseModule } from '#cloud/http/schemas/releases.js';
import { invalidFile, isMapping, refuseUnknownFields } from './yaml-fields.js';

export const releaseFile = releaseContents.extend({ kind: z.literal('release') });

const kinds = ['release', 'layer', 'rollout'];
const topKeys = Object.keys(releaseFile.shape);
const moduleKeys = Object.keys(releaseModule.shape);

/** @throws AppError `request.invalid`, naming the field and the nearest valid one */
export function readReleaseFile(value: unknown, where: string): z.output<typeof releaseContents> {
  if (!isMapping(value)) throw invalidFile(where, 'it is no mapping; it begins with kind: release');
  const { kind } = value;
  if (kind !== 'release') {
    const near = typeof kind === 'string' ? nearest(kind, kinds) : undefined;
    throw invalidFile(
      where,
      `kind says what it is; known ${near === undefined ? 'are release, layer and rollout' : `is ${near}`}`,
    );
  }
  refuseUnknownFields(value, topKeys, where);
  if (isMapping(value['modules'])) {
    for (const [name, module] of Object.entries(value['modules'])) {
      if (isMapping(module)) refuseUnknownFields(module, moduleKeys, where, `modules.${name}.`);
    }
  }
  const parsed = releaseFile.safeParse(value);
  if (!parsed.success) throw invalidFile(where, describeIssues(parsed.error));
  const { kind: _kind, ...contents } = parsed.data;
  return contents;
}
