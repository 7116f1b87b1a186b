/**
 * Rows of a table by their numbers, a bounded piece at a time, until there are no more.
 *
 * @param after the number of the last row that is not wanted
 * @param read at most `atOnce` rows above a number, in their order
 */
export async function* rowPages<Row extends { readonly row: number }>(
  after: number,
  atOnce: number,
  read: (after: number) => Promise<Row[]>,
): AsyncGenerator<readonly Row[]> {
  for (let last = after; ; ) {
    const rows = await read(last);
    const end = rows.at(-1);
    if (!end) return;
    yield rows;
    if (rows.length < atOnce) return;
    last = end.row;
  }
}
