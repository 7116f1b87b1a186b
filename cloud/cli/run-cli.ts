/** One command line in, one exit code out. Usage errors are AppErrors like all others. */
import { type Command, type CommanderError, Help, type Option } from 'commander';
import { AppError } from '#shared/kernel/errors.js';
import { nearest } from '#shared/kernel/names.js';
import type { CliIo } from './cli-io.js';
import { buildProgram } from './commands.js';
import { commandTree, pathOf } from './help.js';
import type { OutputFormat } from './output.js';
import { describeFailure } from './problem-report.js';

export const interruptedExit = 130;
const bugExit = 70;

/** Commander's way to end; `command` is where it ended. */
class ParserExit extends Error {
  constructor(
    readonly reason: CommanderError,
    readonly command: Command,
  ) {
    super(reason.message);
  }
}

/** @param args without the program's name */
export async function runCli(args: readonly string[], io: CliIo): Promise<number> {
  const program = await buildProgram(io, args[0]);
  for (const command of commandTree(program)) {
    command.exitOverride((reason) => {
      throw new ParserExit(reason, command);
    });
    command.configureOutput({
      writeOut: (text) => io.stdout.write(text),
      writeErr: (text) => io.stderr.write(text),
      // Told once, by the catch below.
      outputError: () => undefined,
    });
    command.configureHelp({ showGlobalOptions: true, optionDescription });
  }
  const format = (): OutputFormat => (program.opts<{ output?: string }>().output === 'json' ? 'json' : 'text');
  try {
    await program.parseAsync(args, { from: 'user' });
    return 0;
  } catch (error) {
    if (error instanceof ParserExit) return endOfParse(error, args, io, format());
    io.stderr.write(describeFailure(error, format()));
    if (io.signal.aborted) return interruptedExit;
    return error instanceof AppError ? error.traits.exit : bugExit;
  }
}

/** An empty default says nothing to a reader. */
function optionDescription(this: Help, option: Option): string {
  const { defaultValue } = option as { readonly defaultValue: unknown };
  const isEmpty = defaultValue === '' || (Array.isArray(defaultValue) && defaultValue.length === 0);
  return isEmpty ? option.description : Help.prototype.optionDescription.call(this, option);
}

function endOfParse({ reason, command }: ParserExit, args: readonly string[], io: CliIo, format: OutputFormat): number {
  if (reason.exitCode === 0) return 0;
  // Commander misses a required flag before it sees the misspelt one that was meant.
  const misspelt = reason.code === 'commander.missingMandatoryOptionValue' ? unknownFlag(command, args) : undefined;
  const failure = new AppError('request.invalid', misspelt ?? tidy(reason.message), { cause: reason });
  // A group without a subcommand has printed its help, which says it all.
  if (reason.code !== 'commander.help') {
    io.stderr.write(describeFailure(failure, format, `${pathOf(command)} --help`));
  }
  return failure.traits.exit;
}

/** `error: unknown command 'x'\n(Did you mean y?)` in one line. */
function tidy(message: string): string {
  return message
    .replace(/^error: /, '')
    .replace(/\n\((.*)\)$/s, '. $1')
    .replaceAll('\n', ' ');
}

function unknownFlag(command: Command, args: readonly string[]): string | undefined {
  const known: string[] = [];
  for (let at: Command | null = command; at !== null; at = at.parent) {
    known.push(...at.options.flatMap(({ long }) => long ?? []));
  }
  const flags = args.flatMap((arg) => /^--[a-z][a-z-]*/.exec(arg)?.[0] ?? []);
  const unknown = flags.find((flag) => !known.includes(flag));
  if (unknown === undefined) return undefined;
  const near = nearest(unknown, known);
  return `unknown option '${unknown}'${near === undefined ? '' : `. Did you mean ${near}?`}`;
}
