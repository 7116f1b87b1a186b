/** `npm run bench:scoring`: our scoring host beside its limits and other servers; `docs/benchmarks.md` says how. */
import { parseOptions, usage, type BenchOptions } from './options.js';
import { runScoring } from './run.js';
import { goalsOf, printScoring } from './tables.js';

const options = optionsOrExit(process.argv.slice(2));
// Progress is no figure: standard output carries those alone.
const rows = await runScoring(options, (line) => console.error(line));
if (options.json) console.log(JSON.stringify({ node: process.version, rows, goals: goalsOf(rows) }, undefined, 2));
else printScoring(rows);

function optionsOrExit(args: readonly string[]): BenchOptions {
  try {
    return parseOptions(args);
  } catch (error) {
    console.error(`${error instanceof Error ? error.message : String(error)}\n\n${usage}`);
    process.exit(2);
  }
}
