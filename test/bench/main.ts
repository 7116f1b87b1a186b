/**
 * Runs the benchmarks beside this file, one after another, each as `run()` of its module. A number is
 * worth something only beside its limit, measured in the same run, so each prints both.
 * `npm run bench -- block` runs those whose name begins so. What begins with `--` is for them to read.
 */
import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

interface Benchmark {
  readonly run: (flags: readonly string[]) => Promise<void>;
}

function isBenchmark(module: unknown): module is Benchmark {
  return typeof module === 'object' && module !== null && 'run' in module && typeof module.run === 'function';
}

const found = readdirSync(fileURLToPath(new URL('.', import.meta.url)))
  .map((file) => /^(.+)-bench\.js$/.exec(file)?.[1])
  .filter((name) => name !== undefined)
  .sort();
const given = process.argv.slice(2);
const flags = given.filter((each) => each.startsWith('--'));
const asked = given.filter((each) => !flags.includes(each));
const unknown = asked.filter((prefix) => !found.some((name) => name.startsWith(prefix)));
if (unknown.length > 0) {
  console.error(`No benchmark begins with ${unknown.join(', ')}; there are: ${found.join(', ') || 'none'}.`);
  process.exit(2);
}

for (const name of found.filter((each) => asked.length === 0 || asked.some((prefix) => each.startsWith(prefix)))) {
  console.log(`== ${name}`);
  const module: unknown = await import(new URL(`${name}-bench.js`, import.meta.url).href);
  if (!isBenchmark(module)) throw new Error(`${name}-bench exports no run()`);
  await module.run(flags);
}
