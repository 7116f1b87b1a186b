/**
 * What a command answers. In `json` exactly one JSON value stands on standard output (one a line
 * where a command follows something); in `text`, words for a person. Notes, progress and errors go
 * to standard error in both. Text that came from elsewhere is printed without control characters,
 * so that no name or log line can drive a terminal.
 */
export type OutputFormat = 'text' | 'json';

export interface TextSink {
  write(text: string): void;
}

export class Output {
  constructor(
    readonly format: OutputFormat,
    private readonly stdout: TextSink,
    private readonly stderr: TextSink,
  ) {}

  /** The command's answer, once. */
  result(value: unknown, text: () => string): void {
    if (this.format === 'json') this.stdout.write(`${JSON.stringify(value ?? null, null, 2)}\n`);
    else this.stdout.write(withNewline(text()));
  }

  /** One of an unbounded number of answers. */
  item(value: unknown, text: () => string): void {
    this.stdout.write(this.format === 'json' ? `${JSON.stringify(value)}\n` : withNewline(text()));
  }

  note(text: string): void {
    this.stderr.write(withNewline(text));
  }
}

function withNewline(text: string): string {
  return text === '' || text.endsWith('\n') ? text : `${text}\n`;
}

/** Without control and direction characters; a tab or line break becomes a space. */
export function printable(text: string): string {
  return text.replace(/[\t\r\n]+/g, ' ').replace(/\p{Cc}|\p{Cf}/gu, '');
}

/** Aligned columns under a header; the last column is not padded. */
export function formatTable(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const cells = [header, ...rows].map((row) => row.map(printable));
  const widths = header.map((_, column) => Math.max(...cells.map((row) => widthOf(row[column] ?? ''))));
  return cells
    .map((row) =>
      row
        .map((cell, column) =>
          column === row.length - 1 ? cell : cell + ' '.repeat((widths[column] ?? 0) - widthOf(cell)),
        )
        .join('  ')
        .trimEnd(),
    )
    .map((line) => `${line}\n`)
    .join('');
}

/** Names and values of one thing, aligned; an undefined value is left out. */
export function formatFields(fields: readonly (readonly [string, string | undefined])[]): string {
  const width = Math.max(...fields.map(([name]) => name.length));
  return fields
    .filter((field): field is readonly [string, string] => field[1] !== undefined)
    .map(([name, value]) => `${name.padEnd(width)}  ${printable(value)}`.trimEnd())
    .map((line) => `${line}\n`)
    .join('');
}

/** A list, or the sentence that says there is nothing and what to do. */
export function formatList<T>(
  items: readonly T[],
  header: readonly string[],
  row: (item: T) => readonly string[],
  whenEmpty: string,
): string {
  return items.length === 0 ? whenEmpty : formatTable(header, items.map(row));
}

function widthOf(text: string): number {
  return Array.from(text).length;
}

export function formatTags(tags: Readonly<Record<string, string>>): string {
  const pairs = Object.entries(tags).map(([key, value]) => `${key}=${value}`);
  return pairs.length === 0 ? '-' : pairs.sort().join(' ');
}

const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'] as const;

export function formatBytes(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  const number = unit === 0 || value >= 100 ? String(Math.round(value)) : value.toFixed(1);
  return `${number} ${units[unit] ?? 'B'}`;
}

/** How long ago, in one unit. */
export function formatAge(instant: string | undefined, nowMs: number): string {
  if (instant === undefined) return 'never';
  const seconds = Math.max(0, Math.round((nowMs - Date.parse(instant)) / 1000));
  if (seconds < 60) return `${String(seconds)}s ago`;
  if (seconds < 3600) return `${String(Math.floor(seconds / 60))}m ago`;
  if (seconds < 86_400) return `${String(Math.floor(seconds / 3600))}h ago`;
  return `${String(Math.floor(seconds / 86_400))}d ago`;
}

/** Enough of a digest to know it again. */
export function shortDigest(digest: string): string {
  return digest.slice(0, 'sha256:'.length + 12);
}
