/** A long list of devices, whole or a piece of it. */
import { parseCount, parseName } from './argument-parsers.js';

export interface PagingFlags {
  readonly limit?: string;
  readonly after?: string;
}

export interface Paging {
  /** Undefined: all. */
  readonly limit: number | undefined;
  readonly cursor: string | undefined;
}

export const limitOption = ['--limit <count>', 'at most so many (default: all)'] as const;
export const afterOption = ['--after <device>', 'only those whose names come after this one'] as const;

/** @param of what `after` names: lists of fleets go on the same way */
export function readPaging({ limit, after }: PagingFlags, of: 'device' | 'fleet' = 'device'): Paging {
  return {
    limit: limit === undefined ? undefined : parseCount(limit, 100_000),
    cursor: after === undefined ? undefined : parseName(after, of),
  };
}

/**
 * @param read reads at most so many
 * @returns the devices, and how to go on where more follow
 */
export async function readPiece<T extends { readonly name: string }>(
  { limit }: Paging,
  read: (limit: number | undefined) => Promise<readonly T[]>,
): Promise<{ readonly items: readonly T[]; readonly more: string | undefined }> {
  const found = await read(limit === undefined ? undefined : limit + 1);
  const items = limit === undefined ? found : found.slice(0, limit);
  const last = items.at(-1);
  return { items, more: found.length > items.length && last ? `more follow: --after ${last.name}` : undefined };
}
