/** `flotilla compare`: one image at an endpoint and on devices, side by side. */
import { Command } from 'commander';
import { AppError } from '#shared/kernel/errors.js';
import { routes } from '#cloud/client/routes.js';
import { deploymentOf } from '#cloud/services/service-source.js';
import { collect, parseDurationSeconds, parseName } from '../argument-parsers.js';
import type { CliIo } from '../cli-io.js';
import { describeComparison } from '../compare-text.js';
import { withExamples } from '../help.js';
import { withSession } from '../session.js';

interface CompareOptions {
  readonly endpoint: string;
  readonly fleet?: string;
  readonly where?: string;
  readonly device: readonly string[];
  readonly since: string;
}

const leastSeconds = 60;

export function compareCommand(io: CliIo): Command {
  const command = new Command('compare')
    .description(
      'Compare one image, or model version, at an endpoint and on devices: requests, errors, latency, agreement and drift.',
    )
    .argument('<image>', 'name:version or digest of an image, or name:version of a model')
    .requiredOption('--endpoint <name>', 'all deployments of this endpoint; fraud/blue for one')
    .option('--fleet <fleet>', 'the devices of a saved fleet')
    .option('--where <query>', 'the devices that a query finds, as in flotilla device list --where')
    .option('--device <name>', 'this device; several times for several', collect, [])
    .option('--since <duration>', 'how far back', '1h')
    .action(async (image: string, { endpoint: text, fleet, where, device, since }: CompareOptions) => {
      const given = [fleet, where, device.length > 0 ? device : undefined].filter((one) => one !== undefined);
      if (given.length !== 1) {
        throw new AppError('request.invalid', 'say with which devices: give one of --fleet, --where and --device');
      }
      const one = deploymentOf(text);
      const query = {
        ...{ image, endpoint: parseName(one?.endpoint ?? text, 'endpoint') },
        ...(one === undefined ? {} : { deployment: parseName(one.deployment, 'deployment') }),
        ...(fleet === undefined ? {} : { fleet: parseName(fleet, 'fleet') }),
        ...(where === undefined ? {} : { where }),
        ...(device.length === 0 ? {} : { device: device.map((name) => parseName(name, 'device')) }),
        sinceSeconds: Math.max(leastSeconds, parseDurationSeconds(since)),
      };
      await withSession(io, command, async ({ client, out }) => {
        const body = await client.call(routes.compare, { query });
        out.result(body, () => describeComparison(body));
      });
    });
  return withExamples(
    command,
    'flotilla compare digits:3 --endpoint fraud --fleet line-3',
    'flotilla compare digits:3 --endpoint fraud/green --device cam-1 --since 1d --output json',
  );
}
