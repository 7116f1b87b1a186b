/** `flotilla trust rotate director`: the control plane's own key, replaced while devices are connected or away. */
import { Command } from 'commander';
import { AppError } from '#shared/kernel/errors.js';
import { routes } from '#cloud/client/routes.js';
import type { CliIo } from '../cli-io.js';
import { withExamples } from '../help.js';
import { withSession } from '../session.js';
import { shortKey } from '../trust-proposal.js';

interface RotateOptions {
  readonly begin?: boolean;
  readonly finish?: boolean;
  readonly force?: boolean;
}

export function rotateCommand(io: CliIo): Command {
  const group = new Command('rotate').description("Replace a key of this control plane's own.");
  group.addCommand(directorCommand(io));
  return withExamples(group, 'flotilla trust rotate director --begin', 'flotilla trust rotate director --finish');
}

function directorCommand(io: CliIo): Command {
  const command = new Command('director')
    .description('Replace the key that signs what devices should run; it needs an owner of the whole installation.')
    .option('--begin', 'make the next key, which signs beside the current one')
    .option('--finish', 'sign with the next key alone')
    .option('--force', 'finish although devices do not know the next key yet')
    .action(async (options: RotateOptions) => {
      if ((options.begin === true) === (options.finish === true)) {
        throw new AppError('request.invalid', 'say either --begin or --finish');
      }
      await withSession(io, command, async ({ client, out }) => {
        const step = options.begin === true ? 'begin' : 'finish';
        const state = await client.call(routes.directorRotate, { body: { step, force: options.force === true } });
        out.result(state, () => (step === 'begin' ? afterBegin(state) : afterFinish(state)));
      });
    });
  return withExamples(command, 'flotilla trust rotate director --begin', 'flotilla trust rotate director --finish');
}

function afterBegin({ current, next }: { readonly current: string; readonly next?: string | undefined }): string {
  return [
    `what devices should run is signed by both now: ${shortKey(current)}`,
    `and ${shortKey(next ?? '')}`,
    "Next, for each workspace, on a publisher's machine:",
    '  flotilla trust propose --publish          devices learn the next key',
    '  flotilla trust status                     until every device has it',
    '  flotilla trust rotate director --finish   the old key is gone',
    '  flotilla trust propose --publish          devices forget the old key',
  ].join('\n');
}

function afterFinish({ current }: { readonly current: string }): string {
  return [
    `only ${shortKey(current)} signs from now on`,
    "Next, for each workspace, on a publisher's machine:",
    '  flotilla trust propose --publish          devices forget the old key',
  ].join('\n');
}
