/** Pure: a line of a host's log as a person reads it. What is no log record of ours is left as it is. */
const names = new Map([
  [40, 'warning: '],
  [50, 'error: '],
  [60, 'fatal: '],
]);

export function readableLine(line: string): string {
  const record = recordOf(line);
  if (typeof record?.['msg'] !== 'string') return line;
  const level = names.get(Number(record['level'])) ?? '';
  const cause = Object(record['err']) as { readonly message?: unknown };
  const why = typeof cause.message === 'string' && cause.message !== record['msg'] ? `: ${cause.message}` : '';
  return `${level}${record['msg']}${why}`;
}

function recordOf(line: string): Readonly<Record<string, unknown>> | undefined {
  if (!line.startsWith('{')) return undefined;
  try {
    return JSON.parse(line) as Readonly<Record<string, unknown>>;
  } catch {
    return undefined;
  }
}
