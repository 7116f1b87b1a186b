/** What a command works with once its flags are read: the client, where to write, how to show progress. */
import type { Command } from 'commander';
import type { FlotillaClient } from '#cloud/client/flotilla-client.js';
import { learnAuthority } from '#cloud/client/server-authority.js';
import type { CliIo } from './cli-io.js';
import { chooseTarget, readContextFile } from './context-file.js';
import { keepLoginFresh } from './oidc-login.js';
import { Output, type OutputFormat } from './output.js';
import { Progress } from './progress.js';

export interface GlobalFlags {
  readonly output: OutputFormat;
  readonly workspace?: string;
  readonly context?: string;
}

export function globalFlags(command: Command): GlobalFlags {
  return command.optsWithGlobals<GlobalFlags>();
}

export function outputOf(io: CliIo, command: Command): Output {
  return new Output(globalFlags(command).output, io.stdout, io.stderr);
}

export interface Session {
  readonly io: CliIo;
  readonly client: FlotillaClient;
  readonly out: Output;
  readonly progress: Progress;
}

/** Opens the client that the flags, environment and context file name, and closes it afterwards. */
export async function withSession(
  io: CliIo,
  command: Command,
  use: (session: Session) => Promise<void>,
): Promise<void> {
  const flags = globalFlags(command);
  const file = await keepLoginFresh(io, flags.context, await readContextFile(io.config.home));
  const target = chooseTarget(flags, io.config, file);
  const { url, pin } = target;
  const authority = pin === undefined ? target.authority : await learnAuthority(url, pin, io.signal);
  const client = io.openClient({ ...target, authority });
  const progress = new Progress(io.stderr, io.isTty);
  try {
    await use({ io, client, out: outputOf(io, command), progress });
  } finally {
    progress.clear();
    client.close();
  }
}
