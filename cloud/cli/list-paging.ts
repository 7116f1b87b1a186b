/** A long list, whole or a piece of it. Lists of devices go on after a name instead: device-paging. */
import { parseCount } from './argument-parsers.js';
import type { Output } from './output.js';

export interface PageFlags {
  readonly limit?: string;
  readonly after?: string;
}

export interface PageWish {
  /** Undefined: all. */
  readonly limit: number | undefined;
  readonly cursor: string | undefined;
}

export const limitOption = ['--limit <count>', 'at most so many (default: all)'] as const;
export const afterOption = ['--after <cursor>', 'go on from where a list with --limit ended, as it said'] as const;

export function readPageFlags({ limit, after }: PageFlags): PageWish {
  return { limit: limit === undefined ? undefined : parseCount(limit, 100_000), cursor: after };
}

/** Says how to go on, where more follow. */
export function noteMore(out: Pick<Output, 'note'>, { next }: { readonly next?: string | undefined }): void {
  if (next !== undefined) out.note(`more follow: --after ${next}`);
}
