/** `npm run quickstart [-- --once]` */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import type { Daemon } from './program.js';
import { runQuickstart } from './quickstart.js';
import { StepFailed, Steps } from './steps.js';

const help = `npm run quickstart [-- --once]

Starts a control plane and two agents, deploys a real model to both over MQTT, scores it, and shows the telemetry.
Stays up until Ctrl-C; everything it made lies in a temporary folder and is removed at the end.

  --once   end after the last step: exit code 0, or 1 with the failing step's cause
  --help   this text

Example: npm run quickstart -- --once
`;

const write = (line: string): void => {
  process.stdout.write(`${line}\n`);
};

async function main(): Promise<number> {
  const { values } = parseArgs({ options: { once: { type: 'boolean' }, help: { type: 'boolean', short: 'h' } } });
  if (values.help) {
    process.stdout.write(help);
    return 0;
  }
  const build = fileURLToPath(new URL('../..', import.meta.url));
  const scratch = await mkdtemp(join(tmpdir(), 'flotilla-quickstart-'));
  const daemons: Daemon[] = [];
  const interrupted = new Promise<'interrupted'>((resolve) => {
    // Listening to the end: npm passes on the Ctrl-C that the terminal has sent already.
    process.on('SIGINT', () => resolve('interrupted'));
    process.on('SIGTERM', () => resolve('interrupted'));
  });
  const steps = new Steps(write);
  try {
    const run = runQuickstart({
      build,
      module: join(build, '../modules/digits'),
      scratch,
      steps,
      write,
      own: (daemon) => daemons.push(daemon),
    });
    const first = await Promise.race([run.then(() => 'done' as const), interrupted]);
    if (first === 'interrupted') return 130;
    write('');
    write(`All steps done in ${steps.elapsed}.`);
    if (values.once) return 0;
    write('Ctrl-C ends it.');
    const deaths = daemons.map((daemon) => daemon.exited.then((exit) => ({ daemon, exit })));
    const last = await Promise.race([interrupted, ...deaths]);
    if (last === 'interrupted') return 0;
    process.stderr.write(`a program ended by itself with ${last.exit}\n${last.daemon.output}\n`);
    return 1;
  } catch (error) {
    if (!(error instanceof StepFailed)) throw error;
    process.stderr.write(`${error.message}\n`);
    return 1;
  } finally {
    write('Stopping …');
    // Agents first, so that they say goodbye to a broker that is still there.
    for (const daemon of daemons.reverse()) await daemon.stop();
    await rm(scratch, { recursive: true, force: true });
  }
}

process.exitCode = await main();
