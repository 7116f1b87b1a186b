import { AppError } from '#shared/kernel/errors.js';
import { describeIssues } from '#shared/protocol/decode.js';
import { tagsSchema, type Tags } from '#shared/protocol/primitives.js';

/** Tags to set; null removes one. */
export type TagPatch = Readonly<Record<string, string | null>>;

/** @throws AppError `request.invalid` when the outcome is not a set of tags: a bad name, or too many */
export function applyTagPatch(tags: Tags, patch: TagPatch): Tags {
  const next = new Map<string, string | null>(Object.entries(tags));
  for (const [name, value] of Object.entries(patch)) next.set(name, value);
  const kept = Object.fromEntries([...next].filter(([, value]) => value !== null));
  const parsed = tagsSchema.safeParse(kept);
  if (!parsed.success) throw new AppError('request.invalid', `body: tags: ${describeIssues(parsed.error)}`);
  return parsed.data;
}
