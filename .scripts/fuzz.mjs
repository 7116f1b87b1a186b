// Repeats the property tests with new seeds until one fails or the time is over: `npm run fuzz -- --minutes 30`.
import { spawnSync } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { parseArgs } from 'node:util';

const { values, positionals } = parseArgs({
  options: { minutes: { type: 'string', default: '10' }, help: { type: 'boolean', short: 'h' } },
  allowPositionals: true,
});
const minutes = Number(values.minutes);
if (values.help || !(minutes > 0)) {
  console.log(
    'Usage: npm run fuzz -- [--minutes 10] [file …]\n\nExample: npm run fuzz -- --minutes 60 test/property/agent',
  );
  process.exit(values.help ? 0 : 2);
}
const end = Date.now() + minutes * 60_000;
const files = positionals.length > 0 ? positionals : ['test/property'];
let rounds = 0;
do {
  const seed = String(randomInt(2 ** 31));
  const { status } = spawnSync(
    'npx',
    ['vitest', 'run', '--config', '.config/vitest.config.ts', '--project', 'property', '--reporter', 'dot', ...files],
    { stdio: 'inherit', env: { ...process.env, FLOTILLA_PROPERTY_SEED: seed } },
  );
  if (status !== 0) {
    console.error(
      `Failed with the seed ${seed}. Again: FLOTILLA_PROPERTY_SEED=${seed} npx vitest run --config .config/vitest.config.ts --project property`,
    );
    process.exit(1);
  }
  rounds++;
} while (Date.now() < end);
console.log(`${rounds} rounds, each with a new seed, none failed.`);
