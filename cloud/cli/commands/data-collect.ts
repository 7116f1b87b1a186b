/** `flotilla data collect` and `stop`: what devices collect of a module. */
import { Command } from 'commander';
import { AppError } from '#shared/kernel/errors.js';
import type { FlotillaClient } from '#cloud/client/flotilla-client.js';
import { routes } from '#cloud/client/routes.js';
import { collect, parseName } from '../argument-parsers.js';
import type { CliIo } from '../cli-io.js';
import { readCollect } from '../collect-arguments.js';
import { withExamples } from '../help.js';
import { printable } from '../output.js';
import { type Session, withSession } from '../session.js';

interface WhereOptions {
  readonly device: readonly string[];
  readonly fleet?: string;
}

interface CollectOptions extends WhereOptions {
  readonly rate: string;
  readonly redact: readonly string[];
  readonly collection: readonly string[];
  readonly megabytes?: string;
}

interface Outcome {
  readonly device: string;
  readonly generation?: number;
  readonly problem?: { readonly code: string; readonly message: string };
}

export function collectCommand(io: CliIo): Command {
  const command = withWhere(
    new Command('collect')
      .description(
        'Let devices send a sample of what a module is asked and answers. Names to be left out are left out on the device; a device that joins a fleet later is asked by running this again.',
      )
      .argument('<module>'),
  )
    .requiredOption('--rate <share>', 'share of requests, 0 to 1')
    .option('--redact <name>', 'a tensor or field whose values are left out; several times', collect, [])
    .option('--collection <name>', 'model_inputs or model_outputs; both without it', collect, [])
    .option('--megabytes <count>', 'of one device in an hour, at most (default: 64)')
    .action(async (text: string, options: CollectOptions) => {
      const module = parseName(text, 'module');
      const { rate, megabytes, redact, collection } = options;
      const rule = readCollect({
        ...{ collect: rate, redact, collection },
        ...(megabytes === undefined ? {} : { collectMegabytes: megabytes }),
      });
      if (!rule) throw new AppError('request.invalid', '--rate none: flotilla data stop ends it');
      await withSession(io, command, (session) =>
        onEach(session, options, 'is asked', async (client, device) => {
          const params = { device, module };
          return (await client.call(routes.collectPut, { params, body: rule })).generation;
        }),
      );
    });
  return withExamples(
    command,
    'flotilla data collect digits --device cam-1 --rate 0.1 --redact pixels',
    'flotilla data collect digits --fleet line-3 --rate 0.01 --collection model_outputs',
  );
}

export function stopCommand(io: CliIo): Command {
  const command = withWhere(
    new Command('stop')
      .description('End what devices collect of a module. What waits on them is removed there; what came stays.')
      .argument('<module>'),
  ).action(async (text: string, options: WhereOptions) => {
    const module = parseName(text, 'module');
    await withSession(io, command, (session) =>
      onEach(session, options, 'collects nothing of it', async (client, device) => {
        return (await client.call(routes.collectEnd, { params: { device, module } })).generation;
      }),
    );
  });
  return withExamples(command, 'flotilla data stop digits --device cam-1', 'flotilla data stop digits --fleet line-3');
}

function withWhere(command: Command): Command {
  return command
    .option('--device <name>', 'on this device; several times', collect, [])
    .option('--fleet <name>', 'on every device of this fleet as it is now');
}

/** Each is a change of its own; what fails on one does not keep it from the others. */
async function onEach(
  session: Session,
  { device: named, fleet }: WhereOptions,
  done: string,
  change: (client: FlotillaClient, device: string) => Promise<number>,
): Promise<void> {
  const { client, out } = session;
  if ((named.length === 0) === (fleet === undefined)) {
    throw new AppError('request.invalid', 'give --device, or --fleet');
  }
  const devices =
    fleet === undefined
      ? named.map((one) => parseName(one, 'device'))
      : (await client.list(routes.fleetMembers, { params: { fleet: parseName(fleet, 'fleet') } })).map(
          ({ name }) => name,
        );
  const outcomes: Outcome[] = [];
  for (const device of new Set(devices)) {
    try {
      outcomes.push({ device, generation: await change(client, device) });
    } catch (error) {
      if (!(error instanceof AppError) || error.traits.retry === 'later' || devices.length === 1) throw error;
      outcomes.push({ device, problem: { code: error.code, message: error.message } });
    }
  }
  const failed = outcomes.filter(({ problem }) => problem !== undefined);
  out.result(outcomes, () =>
    outcomes
      .map(({ device, generation, problem }) =>
        problem === undefined
          ? `${device} ${done} with generation ${String(generation)}`
          : `${device}: ${printable(problem.message)}`,
      )
      .join('\n'),
  );
  if (outcomes.length === 0) out.note('the fleet has no devices');
  const [first] = failed;
  if (first?.problem !== undefined) {
    throw new AppError(
      'device.unsupported',
      `${String(failed.length)} of ${String(outcomes.length)} devices were not changed`,
    );
  }
}
