/** The figures of the scoring benchmark as tables, and held against the goals of the design. */
import { printTable } from '../report.js';
import type { Row } from './measure.js';

const header = [
  'model',
  'server',
  'load',
  '/s',
  'of bare',
  'of fixed',
  'p50 ms',
  'p99 ms',
  'p99.9 ms',
  'CPU µs',
  'Pss MiB',
  'note',
] as const;

/** Near this share of its core, the client is what was measured. */
const clientBound = 0.9;

export function printScoring(rows: readonly Row[]): void {
  printTable(header, figureRows(rows));
  const goals = goalsOf(rows).map(({ what, figure, goal, met }) => [what, figure, goal, met ? 'met' : 'missed']);
  if (goals.length === 0) return;
  console.log('');
  printTable(['goal', 'figure', 'wanted', ''], goals);
}

export function figureRows(rows: readonly Row[]): string[][] {
  return rows.map((row) => [
    `${row.model} ${row.form}`,
    row.server,
    row.load,
    rate(row.perSecond),
    // The open loop asks for less than could be had.
    row.load === 'half' ? '-' : ratio(row.perSecond, bareOf(rows, row)?.perSecond),
    row.load === 'half' ? '-' : ratio(row.perSecond, fixedOf(rows, row)?.perSecond),
    ms(row.p50),
    ms(row.p99),
    ms(row.p999),
    row.cpuMicros === undefined ? '-' : Math.round(row.cpuMicros).toLocaleString('en-US'),
    row.pssBytes === undefined ? '-' : String(Math.round(row.pssBytes / 1024 ** 2)),
    note(row),
  ]);
}

function note({ failures, failure, clientShare, load }: Row): string {
  const parts: string[] = [];
  if (failures > 0) parts.push(`${String(failures)} failed: ${failure ?? 'unknown'}`);
  // The open loop looks at the clock without pause.
  if (load !== 'half' && (clientShare ?? 0) > clientBound) parts.push('the client was at its limit');
  return parts.join('; ');
}

export interface Goal {
  readonly what: string;
  readonly figure: string;
  readonly goal: string;
  readonly met: boolean;
}

const throughputGoals = [
  { model: 'mobilenet', form: 'binary', limitOf: bareOf, limit: 'of the bare loop', atLeast: 0.95 },
  { model: 'mlp', form: 'JSON', limitOf: fixedOf, limit: 'of fixed bytes', atLeast: 0.7 },
] as const;
const addedP50Ms = 0.3;
const addedP99Ms = 1;

/** Goals whose both sides were measured. */
export function goalsOf(rows: readonly Row[]): readonly Goal[] {
  const ours = rows.filter(({ server }) => server === 'ours');
  const throughput = throughputGoals.flatMap(({ model, form, limitOf, limit, atLeast }) =>
    ours.flatMap((row) => {
      const against = limitOf(rows, row)?.perSecond;
      if (row.model !== model || row.form !== form || row.load === 'half' || against === undefined) return [];
      return {
        what: `${model} ${form}, ${row.load} connections, throughput ${limit}`,
        figure: (row.perSecond / against).toFixed(2),
        goal: `at least ${String(atLeast)}`,
        met: row.perSecond / against >= atLeast,
      };
    }),
  );
  const added = ours
    .filter(({ load }) => load === 'half')
    .flatMap((row) => [...addedLatency(rows, row, 'p50', addedP50Ms), ...addedLatency(rows, row, 'p99', addedP99Ms)]);
  return [...throughput, ...added];
}

function addedLatency(rows: readonly Row[], row: Row, name: 'p50' | 'p99', atMostMs: number): Goal[] {
  const bare = rows.find((other) => other.server === 'bare' && sameSubject(other, row) && other.load === 'half');
  const [served, run] = [row[name], bare?.[name]];
  if (served === undefined || run === undefined) return [];
  return [
    {
      what: `${row.model} ${row.form}, ${rate(row.perSecond)}/s (half load), ${name} over the bare run`,
      figure: `+${(served - run).toFixed(2)} ms`,
      goal: `at most +${String(atMostMs)} ms`,
      met: served - run <= atMostMs,
    },
  ];
}

/** One row a run: what a server that answers each request alone could reach. */
function bareOf(rows: readonly Row[], row: Row): Row | undefined {
  return rows.find((other) => other.server === 'bare' && sameSubject(other, row) && other.load === '1 a run');
}

function fixedOf(rows: readonly Row[], row: Row): Row | undefined {
  return rows.find((other) => other.server === 'fixed' && sameSubject(other, row) && other.load === row.load);
}

function sameSubject(one: Row, other: Row): boolean {
  return one.model === other.model && one.form === other.form;
}

function rate(value: number): string {
  return value >= 100 ? Math.round(value).toLocaleString('en-US') : value.toFixed(1);
}

function ratio(value: number, limit: number | undefined): string {
  return limit === undefined ? '-' : (value / limit).toFixed(2);
}

function ms(value: number | undefined): string {
  return value === undefined ? '-' : value.toFixed(value < 10 ? 2 : 1);
}
