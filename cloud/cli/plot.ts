/** Values over time as characters: a chart of one line, or a line of a table. Pure. */

const levels = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/** One character a value, from the least to the greatest; a space where there is none. */
export function sparkline(values: readonly (number | null)[]): string {
  const { least, greatest } = boundsOf(values);
  const range = greatest - least;
  return values
    .map((value) => {
      if (value === null) return ' ';
      const level = range === 0 ? 0 : Math.round(((value - least) / range) * (levels.length - 1));
      return levels[level] ?? '';
    })
    .join('')
    .trimEnd();
}

/**
 * Columns of blocks from the axis up, eight levels a row.
 *
 * @param label a value as the axis shows it
 */
export function chart(values: readonly (number | null)[], rows: number, label: (value: number) => string): string {
  const { least, greatest } = boundsOf(values);
  // An axis from 0 where that is no exaggeration: what looks twice as high is.
  const bottom = least >= 0 && least <= greatest / 2 ? 0 : least;
  const range = greatest - bottom;
  const top = range === 0 ? bottom + (bottom === 0 ? 1 : Math.abs(bottom)) : greatest;
  const heights = values.map((value) =>
    value === null ? undefined : Math.max(1, Math.round(((value - bottom) / (top - bottom)) * rows * levels.length)),
  );
  const axis = Array.from({ length: rows }, (_, row) => {
    if (row === 0) return label(top);
    if (row === rows - 1) return label(bottom);
    return row === Math.floor(rows / 2) ? label((top + bottom) / 2) : '';
  });
  const width = Math.max(...axis.map((text) => text.length));
  return axis
    .map((text, row) => {
      const below = (rows - 1 - row) * levels.length;
      const line = heights.map((height) => {
        const filled = height === undefined ? 0 : Math.min(levels.length, height - below);
        return filled <= 0 ? ' ' : (levels[filled - 1] ?? '');
      });
      return `${text.padStart(width)} ┤${line.join('')}`.trimEnd();
    })
    .map((line) => `${line}\n`)
    .join('');
}

function boundsOf(values: readonly (number | null)[]): { readonly least: number; readonly greatest: number } {
  let [least, greatest] = [Infinity, -Infinity];
  for (const value of values) {
    if (value === null) continue;
    least = Math.min(least, value);
    greatest = Math.max(greatest, value);
  }
  return least > greatest ? { least: 0, greatest: 0 } : { least, greatest };
}
