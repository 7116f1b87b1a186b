/** `npm run attacks`: tries every attack of the list against built programs, and prints what became of each. */
import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { repository } from '#test/support/repository.js';
import { attacks } from './catalogue.js';
import { attackTable, type TestReport } from './table.js';

if (process.argv.includes('--help')) {
  process.stdout.write(
    'npm run attacks: tries every attack that must fail, and prints a table.\n\nExample:\n  npm run attacks\n',
  );
} else {
  process.exitCode = await run();
}

/** @returns the exit code: 1 where an attack succeeded, or was not tried */
async function run(): Promise<number> {
  const files = attacks
    .flatMap(({ tests }) => tests.map(({ file }) => file))
    .filter((file) => file.endsWith('.test.ts'));
  const folder = await mkdtemp(join(tmpdir(), 'flotilla-attacks-'));
  try {
    const output = join(folder, 'report.json');
    const child = spawn(
      process.execPath,
      [
        ...[join(repository, 'node_modules/vitest/vitest.mjs'), 'run', '--config', '.config/vitest.config.ts'],
        ...['--reporter=default', '--reporter=json', `--outputFile.json=${output}`],
        ...['test/e2e/attacks', ...new Set(files)],
      ],
      { cwd: repository, stdio: ['ignore', 2, 2] },
    );
    await new Promise((resolve) => child.once('exit', resolve));
    const report = JSON.parse(await readFile(output, 'utf8')) as TestReport;
    const { lines, isWhole } = attackTable(attacks, report);
    process.stdout.write(`${lines.join('\n')}\n`);
    return isWhole ? 0 : 1;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
