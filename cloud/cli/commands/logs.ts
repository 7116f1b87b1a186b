/** `flotilla logs`, also `flotilla device logs`: the last log lines, asked of the device itself. */
import { Command } from 'commander';
import { AppError } from '#shared/kernel/errors.js';
import type { FlotillaClient } from '#cloud/client/flotilla-client.js';
import { parseCount, parseDurationSeconds, parseName } from '../argument-parsers.js';
import type { CliIo } from '../cli-io.js';
import { withExamples } from '../help.js';
import { printable } from '../output.js';
import { withSession } from '../session.js';

export function logsCommand(io: CliIo): Command {
  const command = new Command('logs')
    .description('Print the last log lines of a device, or of one of its modules.')
    .argument('<device>')
    .argument('[module]')
    .option('-n, --lines <count>', 'how many, at most 1000', '100')
    .option('-f, --follow', 'go on with what comes, until Ctrl-C', false)
    .option('--timeout <duration>', 'how long the device may take', '15s')
    .action(async (device: string, module: string | undefined, options: LogsOptions) => {
      const name = parseName(device, 'device');
      const lines = parseCount(options.lines, 1000);
      const which = module === undefined ? {} : { module: parseName(module, 'module') };
      const seconds = parseDurationSeconds(options.timeout);
      await withSession(io, command, async ({ client, out }) => {
        const answer = await client.command(name, 'logs', { lines, ...which }, seconds);
        if (!options.follow) {
          out.result(answer.lines, () => textOf(answer.lines));
          return;
        }
        const show = (some: readonly string[]): void => {
          for (const line of some) out.item(line, () => printable(line));
        };
        show(answer.lines);
        await follow({ io, client, device: name, which, note: (text) => out.note(text), show }, answer.next);
      });
    });
  return withExamples(
    command,
    'flotilla logs cam-1',
    'flotilla logs cam-1 digits -n 20',
    'flotilla logs cam-1 --follow',
  );
}

interface LogsOptions {
  readonly lines: string;
  readonly follow: boolean;
  readonly timeout: string;
}

interface Following {
  readonly io: CliIo;
  readonly client: FlotillaClient;
  readonly device: string;
  readonly which: { readonly module?: string };
  readonly note: (text: string) => void;
  readonly show: (lines: readonly string[]) => void;
}

/** How long the device holds a question open for which it has no line yet. */
const waitSeconds = 20;
/** Before a device is asked again that did not answer. */
const pauseMs = 2_000;

/** Until Ctrl-C, which is no failure here. A device that does not answer is asked again. */
async function follow({ io, client, device, which, note, show }: Following, from: string | undefined): Promise<void> {
  let after = from ?? '';
  let silent = false;
  while (!io.signal.aborted) {
    try {
      const part = await client.command(
        device,
        'logs',
        { lines: 1000, after, waitSeconds, ...which },
        waitSeconds + 10,
      );
      silent = false;
      if ((part.missed ?? 0) > 0) note(`${String(part.missed)} lines were too many to keep, and are missing here`);
      show(part.lines);
      after = part.next ?? after;
    } catch (error) {
      if (io.signal.aborted) return;
      if (!(error instanceof AppError) || error.traits.retry !== 'later') throw error;
      if (!silent) note(`${error.message}; asking again`);
      silent = true;
      await io.clock.sleep(pauseMs, io.signal);
    }
  }
}

function textOf(lines: readonly string[]): string {
  return lines.map((line) => `${printable(line)}\n`).join('');
}
