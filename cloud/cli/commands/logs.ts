/** `flotilla logs`, also `flotilla device logs`: the last log lines, asked of the device itself. */
import { Command } from 'commander';
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
    .option('--timeout <duration>', 'how long the device may take', '15s')
    .action(async (device: string, module: string | undefined, options: { lines: string; timeout: string }) => {
      const name = parseName(device, 'device');
      const lines = parseCount(options.lines, 1000);
      const args = { lines, ...(module === undefined ? {} : { module: parseName(module, 'module') }) };
      const seconds = parseDurationSeconds(options.timeout);
      await withSession(io, command, async ({ client, out }) => {
        const answer = await client.command(name, 'logs', args, seconds);
        out.result(answer.lines, () => answer.lines.map((line) => `${printable(line)}\n`).join(''));
      });
    });
  return withExamples(command, 'flotilla logs cam-1', 'flotilla logs cam-1 digits -n 20');
}
