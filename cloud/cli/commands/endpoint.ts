/** `flotilla endpoint …`: addresses of web services, what answers there and who may call. */
import { Command, Option } from 'commander';
import { AppError } from '#shared/kernel/errors.js';
import { routes } from '#cloud/client/routes.js';
import type { EndpointBody, EndpointStatusBody } from '#cloud/http/schemas/endpoints.js';
import type { ShiftBody } from '#cloud/http/schemas/shifts.js';
import { describeWeights } from '#cloud/services/shift/overtaken.js';
import { collect, parseName, parseTags } from '../argument-parsers.js';
import type { CliIo } from '../cli-io.js';
import { afterOption, limitOption, noteMore, type PageFlags, readPageFlags } from '../list-paging.js';
import { parseComparison } from '../comparison-argument.js';
import { parseMirror, parseTraffic } from '../endpoint-arguments.js';
import { describeDeployments, describeEndpoint, describeMirror, describeTraffic } from '../endpoint-text.js';
import { withExamples } from '../help.js';
import { readAgreement } from '../mirror-agreement.js';
import { formatList } from '../output.js';
import { type Session, withSession } from '../session.js';
import { invokeCommand } from './endpoint-invoke.js';
import { keysCommand, tokenCommand } from './endpoint-keys.js';
import { openApiCommand } from './endpoint-openapi.js';
import { shiftCommand } from './endpoint-shift.js';

export function endpointCommand(io: CliIo): Command {
  const group = new Command('endpoint').description('Web services: addresses, what answers there, and who may call.');
  const made = [createCommand, listCommand, showCommand, updateCommand, deleteCommand, trafficCommand];
  const others = [shiftCommand, keysCommand, tokenCommand, invokeCommand, openApiCommand];
  for (const make of [...made, ...others]) group.addCommand(make(io));
  return withExamples(
    group,
    'flotilla endpoint create fraud',
    'flotilla deployment create blue --endpoint fraud --image digits:3 --replicas 2 --all-traffic',
    'flotilla endpoint invoke fraud --input x.json',
  );
}

const authOption = (): Option =>
  new Option('--auth <mode>', 'by what callers are known: two keys, short-lived tokens, or nothing').choices([
    'key',
    'token',
    'none',
  ]);

interface EndpointOptions {
  readonly auth?: EndpointBody['auth'];
  readonly description?: string;
  readonly tag: readonly string[];
}

function createCommand(io: CliIo): Command {
  const command = new Command('create')
    .description('Make an endpoint. It answers nothing until a deployment has traffic.')
    .argument('<endpoint>')
    .addOption(authOption().default('key'))
    .option('--description <text>', 'what it is for')
    .option('--tag <name=value>', 'a tag; several times', collect, [])
    .action(async (text: string, { auth, description, tag }: EndpointOptions) => {
      const name = parseName(text, 'endpoint');
      const tags = parseTags(tag);
      await withSession(io, command, async ({ client, out }) => {
        const body = { name, auth, tags, ...(description === undefined ? {} : { description }) };
        const made = await client.call(routes.endpointCreate, { body });
        out.result(made, () => describeEndpoint(made));
        out.note(`next: flotilla deployment create blue --endpoint ${name} --image <name:version> --all-traffic`);
      });
    });
  return withExamples(command, 'flotilla endpoint create fraud', 'flotilla endpoint create fraud --auth token');
}

function listCommand(io: CliIo): Command {
  const command = new Command('list')
    .description('List the endpoints, by name.')
    .option(...limitOption)
    .option(...afterOption)
    .action(async (flags: PageFlags) => {
      const { limit, cursor } = readPageFlags(flags);
      await withSession(io, command, async ({ client, out }) => {
        const page = await client.piece(routes.endpointList, { query: { cursor } }, limit);
        out.result(page.items, () =>
          formatList(
            page.items,
            ['ENDPOINT', 'AUTH', 'TRAFFIC', 'DESCRIPTION'],
            (one) => [one.name, one.auth, describeTraffic(one), one.description],
            'no endpoints; flotilla endpoint create <endpoint> makes one',
          ),
        );
        noteMore(out, page);
      });
    });
  return withExamples(command, 'flotilla endpoint list');
}

function showCommand(io: CliIo): Command {
  const command = new Command('show')
    .description('Show an endpoint: where it is reached, and how its deployments fare.')
    .argument('<endpoint>')
    .action(async (text: string) => {
      const endpoint = parseName(text, 'endpoint');
      await withSession(io, command, async ({ client, out }) => {
        const params = { endpoint };
        const body = await client.call(routes.endpointGet, { params });
        const deployments = await client.list(routes.deploymentList, { params });
        const status: EndpointStatusBody = await client.call(routes.endpointStatus, { params });
        const agreement = await readAgreement(client, body);
        const [newest] = (await client.piece(routes.shiftList, { params }, 1)).items;
        const shift = newest?.endedAt === undefined ? newest : undefined;
        out.result({ ...body, deployments, status, ...(agreement && { agreement }), ...(shift && { shift }) }, () => {
          const head = describeEndpoint(body, status, { agreement, shift });
          return deployments.length === 0 ? head : `${head}\n${describeDeployments(deployments, status)}`;
        });
      });
    });
  return withExamples(command, 'flotilla endpoint show fraud');
}

function updateCommand(io: CliIo): Command {
  const command = new Command('update')
    .description('Change how an endpoint knows its callers, its description or its tags.')
    .argument('<endpoint>')
    .addOption(authOption())
    .option('--description <text>', 'what it is for')
    .option('--tag <name=value>', 'a tag, in the place of all that it has; several times', collect, [])
    .action(async (text: string, { auth, description, tag }: EndpointOptions) => {
      const endpoint = parseName(text, 'endpoint');
      const tags = tag.length === 0 ? undefined : parseTags(tag);
      if (auth === undefined && description === undefined && tags === undefined) {
        throw new AppError('request.invalid', 'nothing to change: give --auth, --description or --tag');
      }
      await withSession(io, command, async ({ client, out }) => {
        const body = await client.call(routes.endpointPatch, {
          params: { endpoint },
          body: { auth, description, tags },
        });
        out.result(body, () => describeEndpoint(body));
      });
    });
  return withExamples(command, 'flotilla endpoint update fraud --auth token');
}

function deleteCommand(io: CliIo): Command {
  const command = new Command('delete')
    .description('Delete an endpoint that has no deployments.')
    .argument('<endpoint>')
    .option('--force', 'and its deployments, whatever they answer', false)
    .action(async (text: string, { force }: { readonly force: boolean }) => {
      const endpoint = parseName(text, 'endpoint');
      await withSession(io, command, async ({ client, out }) => {
        const query = force ? { force: 'true' } : {};
        const body = await client.call(routes.endpointDelete, { params: { endpoint }, query });
        out.result({ deleted: endpoint, id: body.id }, () => `deleted ${endpoint}`);
      });
    });
  return withExamples(command, 'flotilla endpoint delete fraud', 'flotilla endpoint delete fraud --force');
}

interface TrafficOptions {
  readonly mirror?: string;
  readonly compare?: string;
}

function mirrorOf(text: string, compare: string | undefined) {
  const mirror = parseMirror(text);
  return mirror && { ...mirror, ...(compare === undefined ? {} : { compare: parseComparison(compare) }) };
}

function trafficCommand(io: CliIo): Command {
  const command = new Command('traffic')
    .description('Say which deployments answer how many percent of the requests, and which gets copies.')
    .argument('<endpoint>')
    .argument('[shares...]', 'deployment=percent, of all that answer; they add up to 100, or to 0')
    .option('--mirror <deployment=percent>', 'one that gets copies of 1 to 50 percent and answers none; none: no one')
    .option('--compare <rule>', 'with --mirror: when answers agree: tolerance, tolerance:0.01, top-1 or top-1:<output>')
    .action(async (text: string, shares: readonly string[], { mirror, compare }: TrafficOptions) => {
      const endpoint = parseName(text, 'endpoint');
      if (compare !== undefined && mirror === undefined) {
        throw new AppError('request.invalid', '--compare goes with --mirror: name whose answers are compared');
      }
      const body = {
        ...(shares.length === 0 ? {} : { traffic: parseTraffic(shares) }),
        ...(mirror === undefined ? {} : { mirror: mirrorOf(mirror, compare) }),
      };
      await withSession(io, command, async (session) => {
        if (Object.keys(body).length === 0) {
          const present = await session.client.call(routes.endpointGet, { params: { endpoint } });
          answerTraffic(session, present);
          return;
        }
        const params = { endpoint };
        const [newest] = (await session.client.piece(routes.shiftList, { params }, 1)).items;
        const after = await session.client.call(routes.endpointTraffic, { params, body });
        answerTraffic(session, after);
        const ends = newest?.endedAt === undefined && newest !== undefined && !isAsSet(after, newest);
        if (ends) session.out.note(`shift ${String(newest.number)} to ${newest.target.deployment} ends by this`);
      });
    });
  return withExamples(
    command,
    'flotilla endpoint traffic fraud',
    'flotilla endpoint traffic fraud blue=90 green=10',
    'flotilla endpoint traffic fraud --mirror green=20 --compare top-1',
  );
}

function isAsSet({ traffic, mirror }: EndpointBody, { set }: ShiftBody): boolean {
  return describeWeights({ traffic, mirror }) === describeWeights(set);
}

function answerTraffic({ out }: Session, body: EndpointBody): void {
  const { name: endpoint, traffic, mirror } = body;
  out.result({ endpoint, traffic, mirror: mirror ?? null }, () => {
    const copies = mirror === undefined ? '' : `\nmirror ${describeMirror(mirror)}`;
    return `${describeTraffic(body)}${copies}`;
  });
}
