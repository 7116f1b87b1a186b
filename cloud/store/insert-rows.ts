/** Many rows by statements of few texts, so that each is prepared once: what is compiled anew costs more than it stores. */
import { CompiledQuery, type Kysely } from 'kysely';

/** One object for all inserts of a kind: its texts are kept. */
export interface InsertInto {
  readonly verb?: 'insert' | 'replace';
  readonly table: string;
  readonly columns: readonly string[];
  /** What follows the values, such as what to do on a conflict. */
  readonly ending?: string;
}

export type Cell = string | number | null;

const rowsAtOnce = 50;

/**
 * In the order given; in one transaction of one connection, rows without a key of their own are numbered one after another.
 *
 * @returns the number of the last row; undefined where there was none
 */
export async function insertRows<T>(
  db: Kysely<T>,
  into: InsertInto,
  rows: readonly (readonly Cell[])[],
): Promise<number | undefined> {
  let last: bigint | undefined;
  for (let at = 0; at < rows.length; ) {
    const some = at + rowsAtOnce <= rows.length ? rowsAtOnce : 1;
    const cells: Cell[] = [];
    for (const end = at + some; at < end; at++) for (const cell of rows[at] ?? []) cells.push(cell);
    const { insertId } = await db.executeQuery(CompiledQuery.raw(textOf(into, some), cells));
    last = insertId ?? last;
  }
  return last === undefined ? undefined : Number(last);
}

const texts = new WeakMap<InsertInto, Map<number, string>>();

function textOf(into: InsertInto, rows: number): string {
  const known = texts.get(into) ?? new Map<number, string>();
  texts.set(into, known);
  const text = known.get(rows) ?? compiled(into, rows);
  known.set(rows, text);
  return text;
}

function compiled({ verb = 'insert', table, columns, ending = '' }: InsertInto, rows: number): string {
  const row = `(${columns.map(() => '?').join(', ')})`;
  return `${verb} into ${table} (${columns.join(', ')}) values ${Array<string>(rows).fill(row).join(', ')} ${ending}`;
}
