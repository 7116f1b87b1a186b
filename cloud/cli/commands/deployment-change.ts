/** `flotilla deployment create` and `delete`. */
import { Command } from 'commander';
import { routes } from '#cloud/client/routes.js';
import { collect, parseName, parseTags } from '../argument-parsers.js';
import type { CliIo } from '../cli-io.js';
import { type CollectFlags, readCollect } from '../collect-arguments.js';
import { readSettings } from '../deploy-settings.js';
import { endsDeployment } from '../deployment-follow.js';
import {
  readRequestSettings,
  readScale,
  readWhatRuns,
  type RequestFlags,
  type RunsFlags,
  type ScaleFlags,
} from '../endpoint-arguments.js';
import { withExamples } from '../help.js';
import { withSession } from '../session.js';

/** How many replicas, and how requests reach them. */
export function withServiceOptions(command: Command): Command {
  return withScaleOptions(command)
    .option('--request-timeout <duration>', 'after which a request is answered with 408 (default: 5s)')
    .option('--concurrency <count>', 'requests that one replica works on at once (default: 1)')
    .option('--collect <rate>', 'keep this share of requests and answers in the workspace, 0 to 1; none: nothing')
    .option('--redact <name>', 'a tensor or field that is left out of what is kept; several times', collect, [])
    .option('--collection <name>', 'keep model_inputs or model_outputs alone', collect, [])
    .option('--collect-megabytes <count>', 'keep at most so many of a replica in an hour (default: 64)');
}

export function withScaleOptions(command: Command): Command {
  return command
    .option('--replicas <count>', 'a number that stays (default: 1)')
    .option('--min <count>', 'as many as the load asks for, not fewer; 0: none while nobody asks')
    .option('--max <count>', 'and not more')
    .option('--target-outstanding <requests>', 'with --min and --max: requests that a replica is to have (default: 2)')
    .option('--max-p99 <duration>', 'with them: one replica more while the slowest percent takes longer')
    .option('--cool-down <duration>', 'with them: how long fewer must do before one ends (default: 5m)')
    .option('--first-request-wait <duration>', 'with --min 0: how long the first request may wait (default: 30s)');
}

interface CreateOptions extends ScaleFlags, RequestFlags, RunsFlags, CollectFlags {
  readonly endpoint: string;
  readonly set: readonly string[];
  readonly tag: readonly string[];
  readonly description?: string;
  readonly allTraffic: boolean;
  readonly wait: boolean;
}

export function createDeploymentCommand(io: CliIo): Command {
  const command = withServiceOptions(
    new Command('create')
      .description('Run an image behind an endpoint, and wait until its replicas are ready. Ctrl-C leaves it going.')
      .argument('<deployment>')
      .requiredOption('--endpoint <name>', 'the endpoint')
      .option('--image <image>', 'name:version or digest')
      .option('--release <release>', 'name:version: the image and settings that devices of this release run')
      .option('--module <module>', 'of the release, where it has several'),
  )
    .option('--set <key=json>', 'a setting of the module; several times', collect, [])
    .option('--description <text>', 'what it is for')
    .option('--tag <name=value>', 'a tag; several times', collect, [])
    .option('--all-traffic', 'when it is ready, it answers all requests of the endpoint', false)
    .option('--no-wait', 'do not wait until it is ready')
    .action(async (text: string, options: CreateOptions) => {
      const name = parseName(text, 'deployment');
      const endpoint = parseName(options.endpoint, 'endpoint');
      const body = {
        ...{ name, ...readWhatRuns(options), settings: readSettings(options.set), tags: parseTags(options.tag) },
        ...{ scale: readScale(options), request: readRequestSettings(options), description: options.description },
        collect: readCollect(options),
      };
      const { allTraffic, wait } = options;
      await withSession(io, command, async (session) => {
        const params = { endpoint };
        const started = await session.client.call(routes.deploymentCreate, { params, body });
        await endsDeployment(session, started, { endpoint, deployment: name, allTraffic, wait });
      });
    });
  return withExamples(
    command,
    'flotilla deployment create blue --endpoint fraud --image digits:3 --replicas 2 --all-traffic',
    'flotilla deployment create green --endpoint fraud --image digits:4 --min 0 --max 5 --concurrency 4',
    'flotilla deployment create blue --endpoint fraud --image digits:3 --collect 0.1 --redact pixels',
    'flotilla deployment create green --endpoint fraud --release vision:2 --module digits',
  );
}

export function deleteDeploymentCommand(io: CliIo): Command {
  const command = new Command('delete')
    .description('End a deployment that gets no requests. What it is answering is answered.')
    .argument('<deployment>')
    .requiredOption('--endpoint <name>', 'the endpoint')
    .option('--no-wait', 'do not wait until its replicas are gone')
    .action(async (text: string, options: { readonly endpoint: string; readonly wait: boolean }) => {
      const deployment = parseName(text, 'deployment');
      const endpoint = parseName(options.endpoint, 'endpoint');
      await withSession(io, command, async (session) => {
        const started = await session.client.call(routes.deploymentDelete, { params: { endpoint, deployment } });
        await endsDeployment(session, started, { endpoint, deployment, allTraffic: false, wait: options.wait });
      });
    });
  return withExamples(command, 'flotilla deployment delete blue --endpoint fraud');
}
