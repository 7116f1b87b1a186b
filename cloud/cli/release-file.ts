/** `release.yaml`: a release as one file, checked as the server will. Pure. */
import * as z from 'zod';
import { AppError } from '#shared/kernel/errors.js';
import { nearest } from '#shared/kernel/names.js';
import { describeIssues } from '#shared/protocol/decode.js';
import { releaseContents, releaseModule } from '#cloud/http/schemas/releases.js';

export const releaseFile = releaseContents.extend({ kind: z.literal('release') });

const kinds = ['release'];
const topKeys = Object.keys(releaseFile.shape);
const moduleKeys = Object.keys(releaseModule.shape);

/** @throws AppError `request.invalid`, naming the field and the nearest valid one */
export function readReleaseFile(value: unknown, where: string): z.output<typeof releaseContents> {
  if (!isMapping(value)) throw invalid(where, 'it is no mapping; it begins with kind: release');
  const { kind } = value;
  if (kind !== 'release') {
    const near = typeof kind === 'string' ? nearest(kind, kinds) : undefined;
    throw invalid(where, `kind says what it is; known ${near === undefined ? 'is only release' : `is ${near}`}`);
  }
  refuseUnknown(value, topKeys, where, '');
  if (isMapping(value['modules'])) {
    for (const [name, module] of Object.entries(value['modules'])) {
      if (isMapping(module)) refuseUnknown(module, moduleKeys, where, `modules.${name}.`);
    }
  }
  const parsed = releaseFile.safeParse(value);
  if (!parsed.success) throw invalid(where, describeIssues(parsed.error));
  const { kind: _kind, ...contents } = parsed.data;
  return contents;
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
