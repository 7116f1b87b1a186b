/** `flotilla device desired`: what a device is to run, and who says so. */
import { Command } from 'commander';
import { routes } from '#cloud/client/routes.js';
import { parseName } from '../argument-parsers.js';
import type { CliIo } from '../cli-io.js';
import { withExamples } from '../help.js';
import { describeDesired } from '../layer-text.js';
import { withSession } from '../session.js';

export function deviceDesiredCommand(io: CliIo): Command {
  const command = new Command('desired')
    .description('Show what a device is to run, module by module.')
    .argument('<device>')
    .option('--explain', 'and whether its release or a layer says it, and what that covers', false)
    .action(async (text: string, { explain }: { readonly explain: boolean }) => {
      const device = parseName(text, 'device');
      await withSession(io, command, async ({ client, out }) => {
        const desired = await client.call(routes.deviceDesired, { params: { device } });
        out.result(desired, () => describeDesired(desired, explain));
      });
    });
  return withExamples(command, 'flotilla device desired cam-1', 'flotilla device desired cam-1 --explain');
}
