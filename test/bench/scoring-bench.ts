/** The two goals that the design sets for scoring, in about a minute; `npm run bench:scoring` measures the rest. */
import { parseOptions } from './scoring/options.js';
import { runScoring } from './scoring/run.js';
import { printScoring } from './scoring/tables.js';

export async function run(): Promise<void> {
  const options = parseOptions(['--quick', '--only', 'mlp,mobilenet,bare,fixed,ours', '--concurrency', '8,64']);
  printScoring(await runScoring(options, () => undefined));
}
