/** `flotilla deployment …`: what runs behind an endpoint. */
import { Command, Option } from 'commander';
import type { FlotillaClient } from '#cloud/client/flotilla-client.js';
import { routes } from '#cloud/client/routes.js';
import { deploymentKind, type PlacedDeploymentBody } from '#cloud/http/schemas/placed-deployments.js';
import { parseCount, parseName } from '../argument-parsers.js';
import type { CliIo } from '../cli-io.js';
import { describeDeployment, describeDeployments, describePlaced } from '../endpoint-text.js';
import { withExamples } from '../help.js';
import { afterOption, limitOption, noteMore, type PageFlags, type PageWish, readPageFlags } from '../list-paging.js';
import { type Output, printable } from '../output.js';
import { withSession } from '../session.js';
import { createDeploymentCommand, deleteDeploymentCommand } from './deployment-change.js';
import { scaleCommand, updateDeploymentCommand } from './deployment-update.js';

export function deploymentCommand(io: CliIo): Command {
  const group = new Command('deployment').description('What runs behind an endpoint: an image, in so many replicas.');
  const changing = [createDeploymentCommand, updateDeploymentCommand, scaleCommand, deleteDeploymentCommand];
  for (const make of [...changing, listCommand, showCommand, logsCommand]) group.addCommand(make(io));
  return withExamples(
    group,
    'flotilla deployment create blue --endpoint fraud --image digits:3 --replicas 2',
    'flotilla deployment list',
    'flotilla deployment logs blue --endpoint fraud',
  );
}

interface AtEndpoint {
  readonly endpoint: string;
}

interface ListOptions extends PageFlags {
  readonly endpoint?: string;
  readonly kind?: string;
  readonly image?: string;
}

function listCommand(io: CliIo): Command {
  const command = new Command('list')
    .description('List all that is to answer, behind endpoints and on devices; or of one endpoint, and how it fares.')
    .option('--endpoint <name>', 'what runs behind this one, with its numbers')
    .addOption(new Option('--kind <kind>', 'of one kind alone').choices(deploymentKind.options).conflicts('endpoint'))
    .addOption(new Option('--image <image>', 'of this one alone, as name:version or digest').conflicts('endpoint'))
    .option(...limitOption)
    .option(...afterOption)
    .action(async (options: ListOptions) => {
      const { endpoint } = options;
      const { limit, cursor } = readPageFlags(options);
      await withSession(io, command, async ({ client, out }) => {
        if (endpoint !== undefined) {
          await listOfEndpoint(client, out, parseName(endpoint, 'endpoint'), { limit, cursor });
          return;
        }
        const query = { kind: options.kind as PlacedDeploymentBody['kind'] | undefined, image: options.image, cursor };
        const { items, next } = await client.piece(routes.placedDeployments, { query }, limit);
        out.result(items, () => describePlaced(items, io.clock.now()));
        noteMore(out, { next });
      });
    });
  return withExamples(
    command,
    'flotilla deployment list',
    'flotilla deployment list --image digits:3',
    'flotilla deployment list --endpoint fraud',
  );
}

async function listOfEndpoint(
  client: FlotillaClient,
  out: Output,
  endpoint: string,
  { limit, cursor }: PageWish,
): Promise<void> {
  const params = { endpoint };
  const { items, next } = await client.piece(routes.deploymentList, { params, query: { cursor } }, limit);
  const status = await client.call(routes.endpointStatus, { params });
  out.result(items, () =>
    items.length === 0
      ? `${endpoint} has no deployments; flotilla deployment create <name> --endpoint ${endpoint} --image <image>`
      : describeDeployments(items, status),
  );
  noteMore(out, { next });
}

function showCommand(io: CliIo): Command {
  const command = new Command('show')
    .description('Show a deployment and its replicas.')
    .argument('<deployment>')
    .requiredOption('--endpoint <name>', 'the endpoint')
    .action(async (text: string, options: AtEndpoint) => {
      const deployment = parseName(text, 'deployment');
      const endpoint = parseName(options.endpoint, 'endpoint');
      await withSession(io, command, async ({ client, out }) => {
        const body = await client.call(routes.deploymentGet, { params: { endpoint, deployment } });
        const status = await client.call(routes.endpointStatus, { params: { endpoint } });
        const found = status.deployments.find(({ name }) => name === deployment) ?? null;
        out.result({ ...body, status: found }, () => describeDeployment(body, status));
      });
    });
  return withExamples(command, 'flotilla deployment show blue --endpoint fraud');
}

function logsCommand(io: CliIo): Command {
  const command = new Command('logs')
    .description('Print the last lines that the replicas of a deployment wrote.')
    .argument('<deployment>')
    .requiredOption('--endpoint <name>', 'the endpoint')
    .option('--lines <count>', 'how many', '100')
    .action(async (text: string, options: AtEndpoint & { readonly lines: string }) => {
      const deployment = parseName(text, 'deployment');
      const endpoint = parseName(options.endpoint, 'endpoint');
      const lines = parseCount(options.lines, 1_000);
      await withSession(io, command, async ({ client, out }) => {
        const found = await client.call(routes.deploymentLogs, { params: { endpoint, deployment }, query: { lines } });
        out.result(found, () => found.lines.map(printable).join('\n'));
        if (found.lines.length === 0) out.note(`${deployment} has written nothing yet`);
      });
    });
  return withExamples(command, 'flotilla deployment logs blue --endpoint fraud --lines 500');
}
