/** `npm run bench:scoring`: our scoring host beside its limits and other servers; `docs/benchmarks.md` says how. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseOptions, usage, type BenchOptions } from './options.js';
import { selfTimes, type CpuProfile } from './profile-summary.js';
import { runScoring } from './run.js';
import { goalsOf, printScoring } from './tables.js';

const profileLines = 20;

// An ordinary exit, on which what was started is ended as well.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130));

const options = optionsOrExit(process.argv.slice(2));
if (options.help) {
  console.log(usage);
  process.exit(0);
}
// Progress is no figure: standard output carries those alone.
const rows = await runScoring(options, (line) => console.error(line));
if (options.json) console.log(JSON.stringify({ node: process.version, rows, goals: goalsOf(rows) }, undefined, 2));
else printScoring(rows);
if (options.profile !== undefined) printProfiles(options.profile);

/** To standard error: it is not among the figures. */
function printProfiles(folder: string): void {
  for (const file of readdirSync(folder).filter((name) => name.endsWith('.cpuprofile'))) {
    const times = selfTimes(JSON.parse(readFileSync(join(folder, file), 'utf8')) as CpuProfile);
    console.error(`\n${join(folder, file)}`);
    for (const { where, ms, share } of times.slice(0, profileLines)) {
      console.error(`  ${(share * 100).toFixed(1).padStart(5)} %  ${ms.toFixed(0).padStart(6)} ms  ${where}`);
    }
  }
}

function optionsOrExit(args: readonly string[]): BenchOptions {
  try {
    return parseOptions(args);
  } catch (error) {
    console.error(`${error instanceof Error ? error.message : String(error)}\n\n${usage}`);
    process.exit(2);
  }
}
