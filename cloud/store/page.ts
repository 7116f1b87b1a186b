/** Keyset paging: a cursor names the last row that was given, so that new rows shift nothing. */
import { AppError } from '#shared/kernel/errors.js';

export interface PageRequest {
  readonly limit: number;
  readonly cursor?: string | undefined;
}

export interface Page<T> {
  readonly items: readonly T[];
  /** Cursor of the following page; absent on the last one. */
  readonly next?: string;
}

export type CursorKey = readonly (string | number)[];

export function encodeCursor(key: CursorKey): string {
  return Buffer.from(JSON.stringify(key)).toString('base64url');
}

/** @throws AppError `request.invalid` for a cursor that {@link encodeCursor} did not make of such a key */
export function decodeCursor(cursor: string, form: readonly ('string' | 'number')[]): CursorKey {
  try {
    const key: unknown = JSON.parse(Buffer.from(cursor, 'base64url').toString('utf8'));
    if (Array.isArray(key) && key.length === form.length && form.every((type, index) => typeof key[index] === type)) {
      return key as CursorKey;
    }
  } catch {
    // Falls through to the one error below: it makes no difference how the cursor is broken.
  }
  throw new AppError('request.invalid', 'query: cursor: not a cursor of this list; leave it out to start anew');
}

/** From one row more than asked for: the page, and whether another follows. */
export function pageOfRows<Row, T>(
  rows: readonly Row[],
  limit: number,
  keyOf: (row: Row) => CursorKey,
  toItem: (row: Row) => T,
): Page<T> {
  const shown = rows.slice(0, limit);
  const last = shown.at(-1);
  const items = shown.map(toItem);
  return rows.length > limit && last !== undefined ? { items, next: encodeCursor(keyOf(last)) } : { items };
}
