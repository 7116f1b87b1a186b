/** `flotilla token create | list | revoke`: who else may use the control plane, as what, and until when. */
import { Command, Option } from 'commander';
import type * as z from 'zod';
import { AppError } from '#shared/kernel/errors.js';
import { type Role, roles } from '#cloud/auth/role.js';
import type { FlotillaClient } from '#cloud/client/flotilla-client.js';
import { routes } from '#cloud/client/routes.js';
import type { tokenBody } from '#cloud/http/schemas/tokens.js';
import { parseDurationSeconds, parseName } from '../argument-parsers.js';
import type { CliIo } from '../cli-io.js';
import { withExamples } from '../help.js';
import { afterOption, limitOption, noteMore, type PageFlags, type PageWish, readPageFlags } from '../list-paging.js';
import { formatAge, formatList } from '../output.js';
import { withSession } from '../session.js';

type Token = z.output<typeof tokenBody>;

export function tokenCommand(io: CliIo): Command {
  const group = new Command('token').description('API tokens: for other people, for CI, for other machines.');
  for (const command of [createCommand(io), listCommand(io), revokeCommand(io)]) group.addCommand(command);
  return withExamples(
    group,
    'flotilla token create --name ci --role contributor --ttl 90d',
    'flotilla token list',
    'flotilla token revoke ci',
  );
}

const installationOption = (what: string): Option =>
  new Option('--installation', `${what} of the whole installation: every workspace, and what belongs to none`);

interface CreateOptions {
  readonly name: string;
  readonly role: Role;
  readonly ttl: string;
  readonly installation?: boolean;
}

function createCommand(io: CliIo): Command {
  const command = new Command('create')
    .description('Make a token; its secret is shown this once. None is stronger than the one that makes it.')
    .requiredOption('--name <name>', 'what it is for')
    .addOption(new Option('--role <role>', 'what it may do').choices(roles).makeOptionMandatory())
    .option('--ttl <duration>', 'how long it works; "never" for one that does not expire', '90d')
    .addOption(installationOption('a token'))
    .action(async (options: CreateOptions) => {
      const name = parseName(options.name, 'token');
      const ttl = options.ttl === 'never' ? {} : { ttlSeconds: parseDurationSeconds(options.ttl) };
      const body = { name, role: options.role, ...ttl };
      await withSession(io, command, async ({ client, out }) => {
        const made = options.installation
          ? await client.call(routes.installationTokenCreate, { body })
          : await client.call(routes.tokenCreate, { body });
        out.result(made, () =>
          [
            `${made.role} ${made.name} of ${reach(made)}, ${made.expiresAt === null ? 'without end' : `until ${made.expiresAt}`}`,
            'The token, shown this once:',
            `  ${made.token}`,
          ].join('\n'),
        );
      });
    });
  return withExamples(
    command,
    'flotilla token create --name ci --role contributor --workspace plant-2 --ttl 90d',
    'flotilla token create --name dashboard --role reader --installation --ttl never --output json | jq -r .token',
  );
}

function listCommand(io: CliIo): Command {
  const command = new Command('list')
    .description('List the tokens, ended ones for a month.')
    .addOption(installationOption('those'))
    .option(...limitOption)
    .option(...afterOption)
    .action(async (options: PageFlags & { readonly installation?: boolean }) => {
      const wish = readPageFlags(options);
      await withSession(io, command, async ({ client, out }) => {
        const { items, next } = await listTokens(client, options.installation === true, wish);
        const now = io.clock.now();
        out.result(items, () =>
          formatList(
            items,
            ['ID', 'NAME', 'ROLE', 'WORKSPACE', 'CREATED', 'BY', 'LAST USED', 'STATE'],
            (token) => [
              ...[
                token.id,
                token.name,
                token.role,
                token.workspace ?? '(all)',
                formatAge(token.createdAt, now),
                token.createdBy ?? '-',
              ],
              ...[formatAge(token.lastUsedAt ?? undefined, now), stateOf(token, now)],
            ],
            'no tokens; flotilla token create --name <name> --role <role> makes one',
          ),
        );
        noteMore(out, { next });
      });
    });
  return withExamples(
    command,
    'flotilla token list',
    'flotilla token list --installation',
    'flotilla token list --limit 50',
  );
}

function revokeCommand(io: CliIo): Command {
  const command = new Command('revoke')
    .description('Revoke a token: at once, and for good.')
    .argument('<token>', 'its name or id')
    .addOption(installationOption('one'))
    .action(async (asked: string, options: { readonly installation?: boolean }) => {
      await withSession(io, command, async ({ client, out }) => {
        const installation = options.installation === true;
        const { items } = await listTokens(client, installation);
        const id = idOf(asked, items, io.clock.now());
        const revoked = installation
          ? await client.call(routes.installationTokenRevoke, { params: { id } })
          : await client.call(routes.tokenRevoke, { params: { id } });
        out.result(revoked, () => `revoked ${revoked.name} (${revoked.id}) of ${reach(revoked)}`);
      });
    });
  return withExamples(command, 'flotilla token revoke ci', 'flotilla token revoke owner --installation');
}

function listTokens(
  client: FlotillaClient,
  installation: boolean,
  { limit, cursor }: Partial<PageWish> = {},
): Promise<{ readonly items: Token[]; readonly next?: string | undefined }> {
  const route = installation ? routes.installationTokenList : routes.tokenList;
  return client.piece(route, { query: { cursor } }, limit);
}

/** By its id, or by a name that one working token has. */
function idOf(asked: string, tokens: readonly Token[], nowMs: number): string {
  const byId = tokens.find(({ id }) => id === asked);
  if (byId) return byId.id;
  const named = tokens.filter((token) => token.name === asked && stateOf(token, nowMs) !== 'revoked');
  if (named.length === 1 && named[0]) return named[0].id;
  if (named.length === 0) {
    throw new AppError(
      'token.not-found',
      `there is no token "${asked}" here; flotilla token list shows those there are`,
    );
  }
  throw new AppError(
    'request.invalid',
    `${String(named.length)} tokens are named "${asked}": name one by its id, ${named.map(({ id }) => id).join(' or ')}`,
  );
}

function reach({ workspace }: Pick<Token, 'workspace'>): string {
  return workspace === null ? 'the installation' : `workspace ${workspace}`;
}

function stateOf({ revokedAt, expiresAt }: Token, nowMs: number): string {
  if (revokedAt !== null) return 'revoked';
  if (expiresAt === null) return 'works';
  return Date.parse(expiresAt) <= nowMs ? 'expired' : `until ${expiresAt.slice(0, 10)}`;
}
