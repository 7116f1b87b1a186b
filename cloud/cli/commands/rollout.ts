/** `flotilla rollout …`: releases over fleets, wave after wave. */
import { Command } from 'commander';
import { routes } from '#cloud/client/routes.js';
import { parseCount, parseName, parseRollout } from '../argument-parsers.js';
import type { CliIo } from '../cli-io.js';
import { withExamples } from '../help.js';
import { describeGates, describePlanned, describeRollout, describeRollouts, describeWaits } from '../rollout-text.js';
import { followRollout } from '../rollout-watch.js';
import { withSession } from '../session.js';
import { abortCommand, approveCommand, pauseCommand, resumeCommand, rollbackCommand } from './rollout-orders.js';
import { schedulesCommand, unscheduleCommand } from './rollout-schedules.js';
import { orderOf, type PlanOptions, policyOf, startCommand } from './rollout-start.js';

export function rolloutCommand(io: CliIo): Command {
  const group = new Command('rollout').description(
    'Rollouts: a release goes over a fleet in waves, and stops by itself when too many devices fail.',
  );
  for (const make of [planCommand, startCommand, listCommand, showCommand, watchCommand, explainCommand]) {
    group.addCommand(make(io));
  }
  for (const make of [pauseCommand, resumeCommand, approveCommand, abortCommand, rollbackCommand]) {
    group.addCommand(make(io));
  }
  for (const make of [schedulesCommand, unscheduleCommand]) group.addCommand(make(io));
  return withExamples(
    group,
    'flotilla rollout plan --release vision:2 --fleet line-3',
    'flotilla rollout start --release vision:2 --fleet line-3 --policy policy.yaml',
    'flotilla rollout watch 7',
  );
}

function planCommand(io: CliIo): Command {
  const command = new Command('plan')
    .description('Say what a rollout would do now: waves, devices, bytes, time. Nothing is changed.')
    .requiredOption('--release <release>', 'name:version')
    .requiredOption('--fleet <fleet>', 'a saved fleet')
    .option('--policy <path>', 'how it goes, a YAML file; - for standard input')
    .action(async (options: PlanOptions) => {
      const body = { ...orderOf(options), policy: await policyOf(io, options.policy) };
      await withSession(io, command, async ({ client, out }) => {
        const planned = await client.call(routes.rolloutPlan, { body });
        out.result(planned, () => describePlanned(planned));
      });
    });
  return withExamples(command, 'flotilla rollout plan --release vision:2 --fleet line-3 --policy policy.yaml');
}

function listCommand(io: CliIo): Command {
  const command = new Command('list').description('List rollouts, newest first.').action(async () => {
    await withSession(io, command, async ({ client, out }) => {
      const items = await client.list(routes.rolloutList, {});
      out.result(items, () => describeRollouts(items, io.clock.now()));
    });
  });
  return withExamples(command, 'flotilla rollout list');
}

function showCommand(io: CliIo): Command {
  const command = new Command('show')
    .description('Show one rollout: how many devices stand how, wave by wave, and what happened last.')
    .argument('<rollout>', 'its number')
    .option('--history <count>', 'so many of the last events', '10')
    .action(async (text: string, options: { readonly history: string }) => {
      const rollout = parseRollout(text);
      const count = parseCount(options.history, 9999);
      await withSession(io, command, async ({ client, out }) => {
        const body = await client.call(routes.rolloutGet, { params: { rollout } });
        const history = await client.list(routes.rolloutHistory, { params: { rollout } }, count);
        const { items: gates } = await client.call(routes.rolloutGates, { params: { rollout } });
        const table = describeGates({ items: gates });
        out.result({ ...body, gates, history }, () => describeRollout(body, [...history].reverse(), table));
      });
    });
  return withExamples(command, 'flotilla rollout show 7', 'flotilla rollout show 7 --history 100');
}

function watchCommand(io: CliIo): Command {
  const command = new Command('watch')
    .description('Follow a rollout until it is over, a line whenever it stands otherwise. Ctrl-C leaves it running.')
    .argument('<rollout>', 'its number')
    .action(async (text: string) => {
      const rollout = parseRollout(text);
      await withSession(io, command, (session) => followRollout(session, rollout));
    });
  return withExamples(command, 'flotilla rollout watch 7', 'flotilla rollout watch 7 --output json');
}

function explainCommand(io: CliIo): Command {
  const command = new Command('explain')
    .description(
      'Say what each waiting device waits for and until when, why others failed, and what quality gates say.',
    )
    .argument('<rollout>', 'its number')
    .option('--device <name>', 'only this one')
    .action(async (text: string, options: { readonly device?: string }) => {
      const rollout = parseRollout(text);
      const device = options.device === undefined ? undefined : parseName(options.device, 'device');
      await withSession(io, command, async ({ client, out }) => {
        const waits = await client.call(routes.rolloutWaits, { params: { rollout } });
        const { items: gates } = await client.call(routes.rolloutGates, { params: { rollout } });
        const isShown = (one: { readonly device: string }): boolean => device === undefined || one.device === device;
        const shown = { ...waits, items: waits.items.filter(isShown), troubled: waits.troubled.filter(isShown) };
        const table = device === undefined ? describeGates({ items: gates }) : '';
        out.result({ ...shown, gates }, () =>
          [describeWaits(waits, device), ...(table === '' ? [] : [table])].join('\n'),
        );
      });
    });
  return withExamples(command, 'flotilla rollout explain 7', 'flotilla rollout explain 7 --device cam-1');
}
