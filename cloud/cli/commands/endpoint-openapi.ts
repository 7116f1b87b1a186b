/** `flotilla endpoint openapi`: what an endpoint takes and gives, for tools that make clients. */
import { Command } from 'commander';
import { routes } from '#cloud/client/routes.js';
import { parseName } from '../argument-parsers.js';
import type { CliIo } from '../cli-io.js';
import { withExamples } from '../help.js';
import { withSession } from '../session.js';

export function openApiCommand(io: CliIo): Command {
  const command = new Command('openapi')
    .description('Print the OpenAPI 3.1 document of an endpoint, with examples from the signature of its model.')
    .argument('<endpoint>')
    .option('--deployment <name>', 'whose model it tells of; without it, of the one with most traffic')
    .action(async (text: string, options: { readonly deployment?: string }) => {
      const endpoint = parseName(text, 'endpoint');
      const deployment = options.deployment === undefined ? undefined : parseName(options.deployment, 'deployment');
      await withSession(io, command, async ({ client, out }) => {
        const document = await client.call(routes.endpointOpenApi, { params: { endpoint }, query: { deployment } });
        out.result(document, () => JSON.stringify(document, null, 2));
      });
    });
  return withExamples(
    command,
    'flotilla endpoint openapi fraud > fraud.json',
    'flotilla endpoint openapi fraud --deployment green',
  );
}
