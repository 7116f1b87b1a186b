/** `flotilla trust rotate`: the control plane's own key and its authority, replaced while devices are connected or away. */
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
  group.addCommand(authorityCommand(io));
  return withExamples(group, 'flotilla trust rotate director --begin', 'flotilla trust rotate authority --begin');
}

function directorCommand(io: CliIo): Command {
  const command = stepsOf(
    new Command('director').description(
      'Replace the key that signs what devices should run; it needs an owner of the whole installation.',
    ),
    { begin: 'make the next key, which signs beside the current one', finish: 'sign with the next key alone' },
  ).action(async (options: RotateOptions) => {
    const body = stepIn(options);
    await withSession(io, command, async ({ client, out }) => {
      const state = await client.call(routes.directorRotate, { body });
      out.result(state, () => (body.step === 'begin' ? afterBegin(state) : afterFinish(state)));
    });
  });
  return withExamples(command, 'flotilla trust rotate director --begin', 'flotilla trust rotate director --finish');
}

function authorityCommand(io: CliIo): Command {
  const command = stepsOf(
    new Command('authority').description(
      'Replace the authority that devices and the command line know this control plane by; it needs an owner of the whole installation.',
    ),
    {
      begin: 'make the next authority, which signs from now on, certified by the current one',
      finish: 'let the old authority go',
    },
  ).action(async (options: RotateOptions) => {
    const body = stepIn(options);
    await withSession(io, command, async ({ client, out }) => {
      const state = await client.call(routes.authorityRotate, { body });
      out.result(state, () => (body.step === 'begin' ? authorityBegun(state) : authorityReplaced(state)));
    });
  });
  return withExamples(command, 'flotilla trust rotate authority --begin', 'flotilla trust rotate authority --finish');
}

function stepsOf(command: Command, says: { readonly begin: string; readonly finish: string }): Command {
  return command
    .option('--begin', says.begin)
    .option('--finish', says.finish)
    .option('--force', 'finish although devices are not ready');
}

/** @throws AppError `request.invalid` */
function stepIn(options: RotateOptions): { readonly step: 'begin' | 'finish'; readonly force: boolean } {
  if ((options.begin === true) === (options.finish === true)) {
    throw new AppError('request.invalid', 'say either --begin or --finish');
  }
  return { step: options.begin === true ? 'begin' : 'finish', force: options.force === true };
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

interface AuthorityState {
  readonly current: string;
  readonly next?: string | undefined;
}

function authorityBegun({ current, next }: AuthorityState): string {
  return [
    `certificates come from ${next ?? ''} now`,
    `those of              ${current} are still taken`,
    "Next, for each workspace, on a publisher's machine:",
    '  flotilla trust propose --publish           devices learn the next authority, and renew their certificates',
    '  flotilla trust status                      until none waits',
    '  flotilla trust rotate authority --finish   the old authority is gone',
    '  flotilla trust propose --publish           devices forget it',
  ].join('\n');
}

function authorityReplaced({ current }: AuthorityState): string {
  return [
    `only ${current} counts from now on`,
    'Enrolment tokens and claims that were made before name the old one: make new ones.',
    `Sign in anew where the API serves a generated certificate: flotilla login <url> --authority ${current}`,
    "Next, for each workspace, on a publisher's machine:",
    '  flotilla trust propose --publish           devices forget the old authority',
  ].join('\n');
}
