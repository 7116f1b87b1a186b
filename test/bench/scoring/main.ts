/** `npm run bench:scoring`: our scoring host beside its limits and other servers; `docs/benchmarks.md` says how. */
import { printTable } from '../report.js';
import { parseOptions, usage, type BenchOptions } from './options.js';
import { runScoring } from './run.js';
import { figureRows, goalsOf, header } from './tables.js';

const options = optionsOrExit(process.argv.slice(2));
// Progress is no figure: standard output carries those alone.
const rows = await runScoring(options, (line) => console.error(line));
const goals = goalsOf(rows);
if (options.json) console.log(JSON.stringify({ node: process.version, rows, goals }, undefined, 2));
else {
  printTable(header, figureRows(rows));
  console.log('');
  printTable(
    ['goal', 'figure', 'wanted', ''],
    goals.map(({ what, figure, goal, met }) => [what, figure, goal, met ? 'met' : 'missed']),
  );
}

function optionsOrExit(args: readonly string[]): BenchOptions {
  try {
    return parseOptions(args);
  } catch (error) {
    console.error(`${error instanceof Error ? error.message : String(error)}\n\n${usage}`);
    process.exit(2);
  }
}
