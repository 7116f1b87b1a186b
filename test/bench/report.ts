/** Prints what a benchmark measured: a ratio stands beside its limit, both measured in the same run. */

export interface Ratio {
  readonly what: string;
  /** Ours, then the limit it is held against, in the same unit. */
  readonly ours: number;
  readonly limit: number;
  readonly unit: string;
  /** `at least 0.95`, `at most 2`; absent where design section 12 sets none. */
  readonly goal?: { readonly kind: 'at least' | 'at most'; readonly ratio: number };
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2;
}

export function printRatios(ratios: readonly Ratio[]): void {
  const rows = ratios.map(({ what, ours, limit, unit, goal }) => {
    const ratio = ours / limit;
    const met = goal && (goal.kind === 'at least' ? ratio >= goal.ratio : ratio <= goal.ratio);
    return [
      what,
      `${format(ours)} ${unit}`,
      `${format(limit)} ${unit}`,
      ratio.toFixed(2),
      goal ? `${goal.kind} ${String(goal.ratio)}` : '-',
      met === undefined ? '' : met ? 'met' : 'missed',
    ];
  });
  printTable(['what', 'ours', 'limit', 'ratio', 'goal', ''], rows);
}

function format(value: number): string {
  return value >= 100 ? Math.round(value).toLocaleString('en-US') : value.toPrecision(3);
}

export function printTable(header: readonly string[], rows: readonly (readonly string[])[]): void {
  const widths = header.map((title, column) =>
    Math.max(title.length, ...rows.map((row) => (row[column] ?? '').length)),
  );
  for (const row of [header, ...rows]) {
    console.log(
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    );
  }
}
