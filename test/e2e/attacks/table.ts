/** The list of attacks with what became of each, from vitest's report in JSON. */
import type { Attack, TriedBy } from './catalogue.js';

export interface TestReport {
  readonly testResults: readonly {
    /** Absolute path of the file that was run, which may have its tests from others. */
    readonly name: string;
    readonly assertionResults: readonly { readonly fullName: string; readonly status: string }[];
  }[];
}

export interface AttackTable {
  /** Markdown. */
  readonly lines: readonly string[];
  /** Every attack was tried, and none succeeded. */
  readonly isWhole: boolean;
}

export function attackTable(attacks: readonly Attack[], report: TestReport): AttackTable {
  const rows = attacks.map(({ attack, tests }) => {
    const found = tests.map((test) => ({ test, statuses: statusesOf(test, report) }));
    const all = found.flatMap(({ statuses }) => statuses);
    const isTried = found.every(({ statuses }) => statuses.includes('passed') || statuses.includes('failed'));
    const verdict = all.includes('failed') ? 'not refused' : isTried ? 'refused' : 'not tried';
    const texts = found.map(({ test, statuses }) => `${shown(test)} (${countOf(statuses)})`);
    return { verdict, line: `| ${attack} | ${verdict} | ${texts.join('; ')} |` };
  });
  return {
    lines: ['| attack | result | tests |', '| --- | --- | --- |', ...rows.map(({ line }) => line)],
    isWhole: rows.every(({ verdict }) => verdict === 'refused'),
  };
}

/** Where the file has no tests of its own, they are those of the folder. */
function statusesOf({ file, name }: TriedBy, { testResults }: TestReport): string[] {
  const pattern = patternOf(name);
  const folder = file.slice(0, file.lastIndexOf('/') + 1);
  return testResults
    .filter((result) => (file.endsWith('.test.ts') ? result.name.endsWith(file) : result.name.includes(folder)))
    .flatMap(({ assertionResults }) => assertionResults)
    .filter(({ fullName }) => pattern.test(fullName))
    .map(({ status }) => status);
}

/** What stands in the source as the name that a run gives it: without quotes, with anything for what is filled in. */
function patternOf(name: string): RegExp {
  const text = name.replace(/,$/, '').replace(/^['`]|['`]$/g, '');
  const parts = text.split(/\$\{[^}]*\}|%[sj]/);
  return new RegExp(parts.map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')).join('.*'));
}

function shown({ file, name }: TriedBy): string {
  const text = name.replace(/,$/, '').replace(/^['`]|['`]$/g, '');
  return `${file.replace(/^test\//, '')}: ${text.replaceAll('|', '\\|')}`;
}

function countOf(statuses: readonly string[]): string {
  const failed = statuses.filter((status) => status === 'failed').length;
  const passed = statuses.filter((status) => status === 'passed').length;
  if (failed > 0) return `${String(failed)} of ${String(statuses.length)} failed`;
  if (passed > 0) return `${String(passed)} passed`;
  return statuses.length > 0 ? 'skipped' : 'none ran';
}
