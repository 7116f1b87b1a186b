/** Which tags a device gets: what it is given, and of what it claims only what it was allowed to. Pure. */
import { err, ok, type Result } from '#shared/kernel/result.js';
import type { Tags } from '#shared/protocol/primitives.js';

/** Allows every name. */
export const anyTag = '*';

export interface TagLimits {
  /** Every device gets them. */
  readonly tags: Tags;
  /** Names that a device may set itself, or {@link anyTag}. */
  readonly allowTags: readonly string[];
}

/** Tags steer what a device gets to run, so that one that claims more than it may is refused, not corrected. */
export function tagsFor({ tags, allowTags }: TagLimits, claimed: Tags): Result<Tags, string> {
  const given = new Map(Object.entries(tags));
  for (const [name, value] of Object.entries(claimed)) {
    const set = given.get(name);
    if (set !== undefined) {
      if (set !== value) return err(`says ${name}=${set}, not ${name}=${value.slice(0, 80)}: leave that tag out`);
    } else if (!allowTags.includes(name) && !allowTags.includes(anyTag)) {
      return err(
        `does not let a device set the tag ${name}: leave it out, set it with flotilla device tag, or make the token with --tag or --allow-tag ${name}`,
      );
    }
  }
  return ok({ ...claimed, ...tags });
}
