/** `flotilla rollout pause | resume | approve | abort | rollback`: orders to a rollout that has started. */
import { Command } from 'commander';
import type * as z from 'zod';
import { routes } from '#cloud/client/routes.js';
import type { rolloutOrder } from '#cloud/http/schemas/rollouts.js';
import { collect, parseName, parseRollout } from '../argument-parsers.js';
import type { CliIo } from '../cli-io.js';
import { withExamples } from '../help.js';
import { describeRollout } from '../rollout-text.js';
import { withSession } from '../session.js';

async function give(io: CliIo, command: Command, text: string, body: z.input<typeof rolloutOrder>): Promise<void> {
  const rollout = parseRollout(text);
  await withSession(io, command, async ({ client, out }) => {
    const after = await client.call(routes.rolloutOrder, { params: { rollout }, body });
    out.result(after, () => describeRollout(after));
  });
}

function orderCommand(io: CliIo, order: 'pause' | 'approve', description: string): Command {
  const command = new Command(order)
    .description(description)
    .argument('<rollout>', 'its number')
    .action((text: string) => give(io, command, text, { order }));
  return withExamples(command, `flotilla rollout ${order} 7`);
}

export function pauseCommand(io: CliIo): Command {
  return orderCommand(io, 'pause', 'Take no further devices. Those under way come to their end.');
}

export function resumeCommand(io: CliIo): Command {
  const what = 'Go on. After a threshold was crossed this accepts what has failed until now.';
  const command = new Command('resume')
    .description(what)
    .argument('<rollout>', 'its number')
    .option('--ignore-freeze', 'in an emergency: freeze periods do not hold it from now on', false)
    .action((text: string, { ignoreFreeze }: { readonly ignoreFreeze: boolean }) =>
      give(io, command, text, { order: 'resume', ignoreFreeze }),
    );
  return withExamples(command, 'flotilla rollout resume 7', 'flotilla rollout resume 7 --ignore-freeze');
}

export function approveCommand(io: CliIo): Command {
  return orderCommand(io, 'approve', 'Approve the wave whose turn it is: the next one may begin after it.');
}

export function rollbackCommand(io: CliIo): Command {
  const what = 'Lead every device that was touched back to what it had before, also of a rollout that is over.';
  const command = new Command('rollback')
    .description(what)
    .argument('<rollout>', 'its number')
    .option('--device <name>', 'only this one, whatever becomes of the others; several times', collect, [])
    .option('--where <query>', 'only those that it has asked and the query finds')
    .action((text: string, { device, where }: { readonly device: readonly string[]; readonly where?: string }) =>
      give(io, command, text, {
        order: 'rollback',
        ...(device.length === 0 ? {} : { devices: device.map((name) => parseName(name, 'device')) }),
        ...(where === undefined ? {} : { where }),
      }),
    );
  return withExamples(
    command,
    'flotilla rollout rollback 7',
    'flotilla rollout rollback 7 --device cam-1 --device cam-4',
    `flotilla rollout rollback 7 --where 'site = "north"'`,
  );
}

export function abortCommand(io: CliIo): Command {
  const command = new Command('abort')
    .description('End a rollout: no further devices. Those under way come to their end, or go back.')
    .argument('<rollout>', 'its number')
    .option('--running', 'devices under way go back to what they had', false)
    .action((text: string, { running }: { readonly running: boolean }) =>
      give(io, command, text, { order: 'abort', running }),
    );
  return withExamples(command, 'flotilla rollout abort 7', 'flotilla rollout abort 7 --running');
}
