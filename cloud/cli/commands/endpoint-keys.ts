/** `flotilla endpoint keys …` and `endpoint token`: what callers show. */
import { Command, Option } from 'commander';
import { routes } from '#cloud/client/routes.js';
import type { KeySlot } from '#cloud/services/control/endpoint-model.js';
import { parseDurationSeconds, parseName } from '../argument-parsers.js';
import type { CliIo } from '../cli-io.js';
import { withExamples } from '../help.js';
import { formatFields } from '../output.js';
import { withSession } from '../session.js';

export function keysCommand(io: CliIo): Command {
  const group = new Command('keys').description('The two keys of an endpoint; each opens it.');
  group.addCommand(showKeysCommand(io)).addCommand(regenerateCommand(io));
  return withExamples(
    group,
    'flotilla endpoint keys show fraud',
    'flotilla endpoint keys regenerate fraud --slot primary',
  );
}

function showKeysCommand(io: CliIo): Command {
  const command = new Command('show')
    .description('Show both keys. That you have seen them is in the audit log.')
    .argument('<endpoint>')
    .action(async (text: string) => {
      const endpoint = parseName(text, 'endpoint');
      await withSession(io, command, async ({ client, out }) => {
        const keys = await client.call(routes.endpointKeys, { params: { endpoint } });
        out.result(keys, () => describeKeys(keys));
      });
    });
  return withExamples(command, 'flotilla endpoint keys show fraud');
}

function regenerateCommand(io: CliIo): Command {
  const command = new Command('regenerate')
    .description('Replace one key; callers that have the other go on, those that have this one no longer do.')
    .argument('<endpoint>')
    .addOption(new Option('--slot <slot>', 'which one').choices(['primary', 'secondary']).makeOptionMandatory())
    .action(async (text: string, { slot }: { readonly slot: KeySlot }) => {
      const endpoint = parseName(text, 'endpoint');
      await withSession(io, command, async ({ client, out }) => {
        const keys = await client.call(routes.endpointKeyRegenerate, { params: { endpoint }, body: { slot } });
        out.result(keys, () => describeKeys(keys));
      });
    });
  return withExamples(command, 'flotilla endpoint keys regenerate fraud --slot secondary');
}

function describeKeys({ primary, secondary }: { readonly primary: string; readonly secondary: string }): string {
  return formatFields([
    ['primary', primary],
    ['secondary', secondary],
  ]);
}

export function tokenCommand(io: CliIo): Command {
  const command = new Command('token')
    .description('Make a token that opens an endpoint of --auth token for a while, and print it.')
    .argument('<endpoint>')
    .option('--ttl <duration>', 'how long it holds, at most 24h', '1h')
    .action(async (text: string, { ttl }: { readonly ttl: string }) => {
      const endpoint = parseName(text, 'endpoint');
      const ttlSeconds = parseDurationSeconds(ttl);
      await withSession(io, command, async ({ client, out }) => {
        const made = await client.call(routes.endpointToken, { params: { endpoint }, body: { ttlSeconds } });
        out.result(made, () => made.token);
      });
    });
  return withExamples(
    command,
    'curl -H "Authorization: Bearer $(flotilla endpoint token fraud --ttl 10m)" https://…/endpoints/default/fraud/score -d @x.json',
  );
}
