/** Keyset paging: a cursor names the last row that was given, so that new rows shift nothing. */
import { sql, type SelectQueryBuilder } from 'kysely';
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

/** Columns that tell every row from the others, the instant it was made first. */
export type PageKey<Column extends string> = readonly { readonly column: Column; readonly type: 'string' | 'number' }[];

/** Of models and images: one name may have several versions in one instant. */
export const versionKey: PageKey<'createdAt' | 'name' | 'version'> = [
  { column: 'createdAt', type: 'string' },
  { column: 'name', type: 'string' },
  { column: 'version', type: 'number' },
];

/** One page of what the query finds, newest first. */
export function newestFirst<
  Database,
  Table extends keyof Database,
  Column extends string,
  Row extends Readonly<Record<Column, string | number>>,
>(query: SelectQueryBuilder<Database, Table, Row>, key: PageKey<Column>, page: PageRequest): Promise<Page<Row>> {
  return pageOfRows(query, key, page, 'desc');
}

/** One page of what the query finds, by the columns of the key: by name, or oldest first. */
export function inOrderOf<
  Database,
  Table extends keyof Database,
  Column extends string,
  Row extends Readonly<Record<Column, string | number>>,
>(query: SelectQueryBuilder<Database, Table, Row>, key: PageKey<Column>, page: PageRequest): Promise<Page<Row>> {
  return pageOfRows(query, key, page, 'asc');
}

async function pageOfRows<
  Database,
  Table extends keyof Database,
  Column extends string,
  Row extends Readonly<Record<Column, string | number>>,
>(
  query: SelectQueryBuilder<Database, Table, Row>,
  key: PageKey<Column>,
  page: PageRequest,
  direction: 'asc' | 'desc',
): Promise<Page<Row>> {
  let asked = query;
  if (page.cursor !== undefined) {
    const columns = sql.join(key.map(({ column }) => sql.ref(column)));
    const types = key.map(({ type }) => type);
    const end = sql.join(decodeCursor(page.cursor, types));
    asked = asked.where(sql<boolean>`(${columns}) ${sql.raw(direction === 'asc' ? '>' : '<')} (${end})`);
  }
  for (const { column } of key) asked = asked.orderBy(sql.ref(column), direction);
  const rows = await asked.limit(page.limit + 1).execute();
  return pageOf(rows, page.limit, (end) => encodeCursor(key.map(({ column }) => end[column])));
}

/** One page of a list by name. @param rows one more than asked for, where there are more */
export function byName<T extends { readonly name: string }>(rows: readonly T[], limit: number): Page<T> {
  return pageOf(rows, limit, ({ name }) => encodeCursor([name]));
}

/** As {@link byName}, of lists whose cursor is the last name itself, as people type it. */
export function afterName<T extends { readonly name: string }>(
  rows: readonly T[],
  limit: number,
): { items: T[]; next?: string } {
  return pageOf(rows, limit, ({ name }) => name);
}

/** One row more than asked for tells whether another page follows. */
function pageOf<T>(rows: readonly T[], limit: number, cursorOf: (end: T) => string): { items: T[]; next?: string } {
  const items = rows.slice(0, limit);
  const end = rows.length > limit ? items.at(-1) : undefined;
  return end === undefined ? { items } : { items, next: cursorOf(end) };
}

/** The name that a cursor of {@link byName} stands for. */
export function nameCursor(cursor: string): string {
  return String(decodeCursor(cursor, ['string'])[0]);
}

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
