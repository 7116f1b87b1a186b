/** `flotilla rollout start`: now, at a time, or again and again. */
import { Command } from 'commander';
import { AppError } from '#shared/kernel/errors.js';
import { routes } from '#cloud/client/routes.js';
import { type RolloutPolicy, rolloutPolicySchema } from '#cloud/rollout/policy.js';
import { parseDurationSeconds, parseInstant, parseName, parseReleaseReference } from '../argument-parsers.js';
import type { CliIo } from '../cli-io.js';
import { withExamples } from '../help.js';
import { readPolicyFile } from '../policy-file.js';
import { describeRollout } from '../rollout-text.js';
import { followRollout } from '../rollout-watch.js';
import { withSession } from '../session.js';
import { readYamlInput } from '../yaml-input.js';
import { describeSchedule } from './rollout-schedules.js';

export interface PlanOptions {
  readonly release: string;
  readonly fleet: string;
  readonly policy?: string;
}

interface StartOptions extends PlanOptions {
  readonly supersede: boolean;
  readonly ignoreFreeze: boolean;
  readonly watch: boolean;
  readonly at?: string;
  readonly cron?: string;
  readonly timeZone?: string;
  readonly lateAtMost?: string;
}

export function startCommand(io: CliIo): Command {
  const command = new Command('start')
    .description('Start a rollout. Devices of the fleet get the release, wave after wave.')
    .requiredOption('--release <release>', 'name:version; with --cron a name alone is its newest version then')
    .requiredOption('--fleet <fleet>', 'a saved fleet')
    .option('--policy <path>', 'how it goes, a YAML file; - for standard input')
    .option('--supersede', 'end the rollouts that hold devices of the fleet', false)
    .option('--ignore-freeze', 'in an emergency: freeze periods do not hold it', false)
    .option('--watch', 'follow it until it is over', false)
    .option('--at <time>', 'at this time instead of now, for example 2026-12-01T03:00Z')
    .option('--cron <expression>', 'instead of now each time that this comes, for example "0 3 * * 1"')
    .option('--time-zone <zone>', 'in which --cron is read (default: UTC)')
    .option('--late-at-most <duration>', 'how late it starts when nobody was there at that time (default: 1h)')
    .action(async (options: StartOptions) => {
      const { supersede, ignoreFreeze, watch } = options;
      const policy = await policyOf(io, options.policy);
      const times = timesOf(options);
      await withSession(io, command, async (session) => {
        if (times !== undefined) {
          const body = { ...orderOf(options), policy, supersede, ignoreFreeze, ...times };
          const made = await session.client.call(routes.rolloutScheduleCreate, { body });
          session.out.result(made, () => describeSchedule(made));
          return;
        }
        const body = { ...orderOf(options), policy, supersede, ignoreFreeze };
        const started = await session.client.call(routes.rolloutStart, { body });
        if (watch) await followRollout(session, String(started.number));
        else session.out.result(started, () => describeRollout(started));
      });
    });
  return withExamples(
    command,
    'flotilla rollout start --release vision:2 --fleet line-3 --watch',
    'flotilla rollout start --release vision:2 --fleet line-3 --policy policy.yaml --supersede',
    'flotilla rollout start --release vision:2 --fleet line-3 --at 2026-12-01T03:00Z',
    "flotilla rollout start --release vision --fleet line-3 --cron '0 3 * * 1' --time-zone Europe/Berlin",
  );
}

interface Times {
  readonly at?: string;
  readonly cron?: string;
  readonly timeZone?: string;
  readonly lateSeconds?: number;
}

/** @returns undefined: now. @throws AppError `request.invalid` for flags that do not go together */
function timesOf({ at, cron, timeZone, lateAtMost, watch }: StartOptions): Times | undefined {
  if (at === undefined && cron === undefined) {
    const alone = timeZone === undefined ? (lateAtMost === undefined ? undefined : '--late-at-most') : '--time-zone';
    if (alone !== undefined) throw new AppError('request.invalid', `${alone} goes with --at or --cron`);
    return undefined;
  }
  if (at !== undefined && cron !== undefined) throw new AppError('request.invalid', 'give --at or --cron, not both');
  if (watch)
    throw new AppError('request.invalid', '--watch follows what starts now: leave it out with --at and --cron');
  if (timeZone !== undefined && cron === undefined) {
    throw new AppError('request.invalid', '--time-zone goes with --cron: a time has its own zone');
  }
  return {
    ...(at === undefined ? {} : { at: parseInstant(at, '--at') }),
    ...(cron === undefined ? {} : { cron }),
    ...(timeZone === undefined ? {} : { timeZone }),
    ...(lateAtMost === undefined ? {} : { lateSeconds: parseDurationSeconds(lateAtMost) }),
  };
}

export function orderOf({ release, fleet, cron }: PlanOptions & { readonly cron?: string }): {
  release: string;
  fleet: string;
} {
  const named =
    cron === undefined || release.includes(':') ? parseReleaseReference(release) : parseName(release, 'release');
  return { release: named, fleet: parseName(fleet, 'fleet') };
}

export async function policyOf(io: CliIo, path: string | undefined): Promise<RolloutPolicy> {
  if (path === undefined) return rolloutPolicySchema.parse({});
  return readPolicyFile(await readYamlInput(io, path), path === '-' ? 'standard input' : path);
}
