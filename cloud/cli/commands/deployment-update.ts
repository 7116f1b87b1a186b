/** `flotilla deployment update` and `scale`. */
import { Command } from 'commander';
import { AppError } from '#shared/kernel/errors.js';
import { routes } from '#cloud/client/routes.js';
import { collect, parseName } from '../argument-parsers.js';
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
import { withScaleOptions, withServiceOptions } from './deployment-change.js';

interface UpdateOptions extends ScaleFlags, RequestFlags, RunsFlags, CollectFlags {
  readonly endpoint: string;
  readonly set: readonly string[];
  readonly description?: string;
  readonly wait: boolean;
}

export function updateDeploymentCommand(io: CliIo): Command {
  const command = withServiceOptions(
    new Command('update')
      .description(
        'Change a deployment, and wait until it is so. Another image or setting replaces its replicas one after the other; no request is dropped.',
      )
      .argument('<deployment>')
      .requiredOption('--endpoint <name>', 'the endpoint')
      .option('--image <image>', 'name:version or digest')
      .option('--release <release>', 'name:version: the image and settings that devices of this release run')
      .option('--module <module>', 'of the release, where it has several'),
  )
    .option('--set <key=json>', 'a setting of the module; the others stay; several times', collect, [])
    .option('--description <text>', 'what it is for')
    .option('--no-wait', 'do not wait until it is so')
    .action(async (text: string, options: UpdateOptions) => {
      const deployment = parseName(text, 'deployment');
      const endpoint = parseName(options.endpoint, 'endpoint');
      const { image, release, module } = options;
      const runs = (image ?? release ?? module) === undefined ? {} : readWhatRuns(options);
      const settings = options.set.length === 0 ? undefined : readSettings(options.set);
      const request = readRequestSettings(options);
      const change = { ...runs, scale: readScale(options), description: options.description };
      const collects = says(options);
      if (!collects && [...Object.values(change), settings, request].every((said) => said === undefined)) {
        throw new AppError('request.invalid', 'nothing to change: give for example --image, --set or --replicas');
      }
      await withSession(io, command, async (session) => {
        const params = { endpoint, deployment };
        const present = await session.client.call(routes.deploymentGet, { params });
        const body = {
          ...change,
          // Of a release its own settings are beneath those that are given.
          ...(settings === undefined
            ? {}
            : { settings: release === undefined ? { ...present.settings, ...settings } : settings }),
          ...(collects ? { collect: readCollect(options, present.collect) } : {}),
          ...(request === undefined ? {} : { request: { ...present.request, ...request } }),
        };
        const started = await session.client.call(routes.deploymentPatch, { params, body });
        await endsDeployment(session, started, { endpoint, deployment, allTraffic: false, wait: options.wait });
      });
    });
  return withExamples(
    command,
    'flotilla deployment update blue --endpoint fraud --image digits:4',
    'flotilla deployment update blue --endpoint fraud --collect 0.1 --redact pixels',
    'flotilla deployment update blue --endpoint fraud --release vision:3 --module digits',
    'flotilla deployment update blue --endpoint fraud --concurrency 8 --request-timeout 2s',
  );
}

function says({ collect: rate, redact, collection, collectMegabytes }: CollectFlags): boolean {
  return rate !== undefined || redact.length > 0 || collection.length > 0 || collectMegabytes !== undefined;
}

interface ScaleOptions extends ScaleFlags {
  readonly endpoint: string;
  readonly wait: boolean;
}

export function scaleCommand(io: CliIo): Command {
  const command = withScaleOptions(
    new Command('scale')
      .description('Say how many replicas a deployment has: a number, or as many as the load asks for.')
      .argument('<deployment>')
      .requiredOption('--endpoint <name>', 'the endpoint'),
  )
    .option('--no-wait', 'do not wait until they are there')
    .action(async (text: string, options: ScaleOptions) => {
      const deployment = parseName(text, 'deployment');
      const endpoint = parseName(options.endpoint, 'endpoint');
      const scale = readScale(options);
      if (scale === undefined) throw new AppError('request.invalid', 'give --replicas, or --min and --max');
      await withSession(io, command, async (session) => {
        const params = { endpoint, deployment };
        const started = await session.client.call(routes.deploymentPatch, { params, body: { scale } });
        await endsDeployment(session, started, { endpoint, deployment, allTraffic: false, wait: options.wait });
      });
    });
  return withExamples(
    command,
    'flotilla deployment scale blue --endpoint fraud --replicas 3',
    'flotilla deployment scale blue --endpoint fraud --min 1 --max 5 --target-outstanding 4',
  );
}
