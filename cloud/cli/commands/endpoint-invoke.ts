/** `flotilla endpoint invoke`: one input scored by a web service, as its callers would. */
import { Command } from 'commander';
import { AppError } from '#shared/kernel/errors.js';
import type { FlotillaClient } from '#cloud/client/flotilla-client.js';
import { routes } from '#cloud/client/routes.js';
import { parseName } from '../argument-parsers.js';
import type { CliIo } from '../cli-io.js';
import { withExamples } from '../help.js';
import { readJsonInput } from '../input.js';
import { printable } from '../output.js';
import { withSession } from '../session.js';

interface InvokeOptions {
  readonly input: string;
  readonly deployment?: string;
}

/** It is used at once. */
const tokenSeconds = 60;

export function invokeCommand(io: CliIo): Command {
  const command = new Command('invoke')
    .description('Score one input at an endpoint and print what it answers.')
    .argument('<endpoint>')
    .requiredOption('--input <file>', 'JSON, as the endpoint takes it at /score; "-" is standard input')
    .option('--deployment <name>', 'the deployment that is to answer, whatever traffic it has')
    .action(async (text: string, options: InvokeOptions) => {
      const endpoint = parseName(text, 'endpoint');
      const deployment = options.deployment === undefined ? undefined : parseName(options.deployment, 'deployment');
      const body = JSON.stringify(await readJsonInput(io, options.input));
      await withSession(io, command, async ({ client, out }) => {
        const url = await addressOf(client, endpoint);
        const answer = await client.score({ url, bearer: await bearerFor(client, endpoint), deployment, body });
        const output = parsed(answer.text);
        out.result(output, () => (typeof output === 'string' ? printable(output) : JSON.stringify(output, null, 2)));
        if (answer.deployment !== undefined) out.note(`answered by ${printable(answer.deployment)}`);
      });
    });
  return withExamples(
    command,
    'flotilla endpoint invoke fraud --input x.json',
    'flotilla endpoint invoke fraud --input x.json --deployment green',
  );
}

async function addressOf(client: FlotillaClient, endpoint: string): Promise<URL> {
  const { scoreUrl, problem } = await client.call(routes.endpointStatus, { params: { endpoint } });
  if (scoreUrl !== undefined) return new URL(scoreUrl);
  const why = problem?.message ?? 'no service host runs yet';
  throw new AppError(
    'service.unavailable',
    `${endpoint} cannot be reached: ${why}; flotilla endpoint show ${endpoint}`,
  );
}

async function bearerFor(client: FlotillaClient, endpoint: string): Promise<string | undefined> {
  const params = { endpoint };
  const { auth } = await client.call(routes.endpointGet, { params });
  if (auth === 'none') return undefined;
  if (auth === 'key') return (await client.call(routes.endpointKeys, { params })).primary;
  return (await client.call(routes.endpointToken, { params, body: { ttlSeconds: tokenSeconds } })).token;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return text;
  }
}
