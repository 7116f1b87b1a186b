/** `flotilla-agent rollback` and `defer`: what a person at the device may say about one module. */
import { type Command, InvalidArgumentError } from 'commander';
import { configOf, example, type GlobalOptions, print } from '#agent/cli/command-parts.js';
import { askAgent } from '#agent/local/local-client.js';
import { stateFolder } from '#agent/store/state-folder.js';

export function addRollback(program: Command): Command {
  const command = program
    .command('rollback')
    .description(
      'Goes back to the version before, which is kept on this disk, until the next deployment. Works without network.',
    )
    .argument('<module>')
    .action(async (module: string) => {
      const answer = (await post(program, '/rollback', { module })) as { version: number; generation: number };
      print(program.opts<GlobalOptions>(), answer, () => [
        `${module} goes back to version ${String(answer.version)}; generation ${String(answer.generation)} is not followed for it. flotilla-agent status tells when it answers.`,
      ]);
    });
  return example(command, 'flotilla-agent rollback digits');
}

export function addDefer(program: Command): Command {
  const command = program
    .command('defer')
    .description('Puts off that a module is replaced by another version, for as long as its update policy allows.')
    .argument('<module>')
    .requiredOption('--for <seconds>', 'how long; 0 takes it back', (text) => {
      if (!/^\d{1,6}$/.test(text)) throw new InvalidArgumentError('a number of seconds, for example 300');
      return Number(text);
    })
    .option('--reason <text>', 'said to whoever waits for the update', '')
    .action(async (module: string, options: { for: number; reason: string }) => {
      const question = { module, seconds: options.for, reason: options.reason };
      const answer = await post(program, '/defer', question);
      print(program.opts<GlobalOptions>(), answer, () => [
        options.for === 0 ? `${module} may be replaced` : `${module} is not replaced for ${String(options.for)} s`,
      ]);
    });
  return example(command, 'flotilla-agent defer digits --for 300 --reason "a batch is running"');
}

function post(program: Command, path: string, body: unknown): Promise<unknown> {
  const config = configOf(program.opts<GlobalOptions>(), {});
  return askAgent(stateFolder(config.stateDir).socket, path, { method: 'POST', body });
}
