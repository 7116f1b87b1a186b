/** `flotilla deployment …`: what runs behind an endpoint. */
import { Command } from 'commander';
import { routes } from '#cloud/client/routes.js';
import { parseCount, parseName } from '../argument-parsers.js';
import type { CliIo } from '../cli-io.js';
import { describeDeployment, describeDeployments } from '../endpoint-text.js';
import { withExamples } from '../help.js';
import { printable } from '../output.js';
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
    'flotilla deployment list --endpoint fraud',
    'flotilla deployment logs blue --endpoint fraud',
  );
}

interface AtEndpoint {
  readonly endpoint: string;
}

function listCommand(io: CliIo): Command {
  const command = new Command('list')
    .description('List what runs behind an endpoint, and how it fares.')
    .requiredOption('--endpoint <name>', 'the endpoint')
    .action(async (options: AtEndpoint) => {
      const params = { endpoint: parseName(options.endpoint, 'endpoint') };
      await withSession(io, command, async ({ client, out }) => {
        const items = await client.list(routes.deploymentList, { params });
        const status = await client.call(routes.endpointStatus, { params });
        out.result(items, () =>
          items.length === 0
            ? `${params.endpoint} has no deployments; flotilla deployment create <name> --endpoint ${params.endpoint} --image <image>`
            : describeDeployments(items, status),
        );
      });
    });
  return withExamples(command, 'flotilla deployment list --endpoint fraud');
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
