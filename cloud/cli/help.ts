/** Every command's help ends with examples; a test walks the tree and misses none. */
import type { Command } from 'commander';

export function withExamples(command: Command, ...examples: readonly string[]): Command {
  const lines = examples.map((example) => `  $ ${example}`).join('\n');
  return command.addHelpText('after', `\n${examples.length === 1 ? 'Example' : 'Examples'}:\n${lines}`);
}

/** `flotilla model register`: the words that lead to a command. */
export function pathOf(command: Command): string {
  return command.parent === null ? command.name() : `${pathOf(command.parent)} ${command.name()}`;
}

/** The command and all below it. */
export function* commandTree(command: Command): Generator<Command> {
  yield command;
  for (const child of command.commands) yield* commandTree(child);
}
