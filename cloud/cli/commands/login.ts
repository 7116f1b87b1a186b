/** `flotilla login`: checks whom it talks to and what the token opens, and remembers both. */
import { Command } from 'commander';
import { AppError } from '#shared/kernel/errors.js';
import { nearest } from '#shared/kernel/names.js';
import { isLoopback } from '#cloud/config.js';
import { routes } from '#cloud/client/routes.js';
import { learnAuthority, presentedAuthority, type ServerAuthority } from '#cloud/client/server-authority.js';
import { parseName } from '../argument-parsers.js';
import type { CliIo } from '../cli-io.js';
import {
  contextPath,
  defaultContext,
  defaultWorkspace,
  parsePin,
  parseServerUrl,
  readContextFile,
  storedAuthority,
  type Target,
  writeContextFile,
} from '../context-file.js';
import { withExamples } from '../help.js';
import { readAll } from '../input.js';
import { loginByDevice, type OidcLogin } from '../oidc-login.js';
import type { Output } from '../output.js';
import { globalFlags, outputOf } from '../session.js';

interface LoginOptions {
  readonly token?: string;
  readonly oidc?: boolean;
  readonly authority?: string;
}

export function loginCommand(io: CliIo): Command {
  const command = new Command('login')
    .description('Check a token against a control plane and remember both for later commands.')
    .argument('<url>', 'the control plane, for example https://127.0.0.1:8080')
    .option('--token <token>', 'the token; "-" reads it from standard input (or FLOTILLA_TOKEN)')
    .option('--oidc', 'log in at the issuer that the control plane names, in any browser, by a code')
    .option(
      '--authority <sha256>',
      "fingerprint of the control plane's authority, as it prints it (or FLOTILLA_AUTHORITY); none for public ones",
    )
    .action(async (url: string, options: LoginOptions) => {
      const flags = globalFlags(command);
      const context = parseName(flags.context ?? defaultContext, 'context');
      const server = parseServerUrl(url);
      const pin = options.authority ?? io.config.authority;
      if (server.protocol === 'http:' && !isLoopback(server.hostname.replace(/^\[|\]$/g, ''))) {
        outputOf(io, command).note(
          'over http:// to another machine the token goes in clear: use https:// where you can',
        );
      }
      const given = options.oidc === true ? undefined : await readToken(io, options.token);
      const file = await readContextFile(io.config.home);
      const before = file?.contexts[context];
      const known = before?.url === server.href ? storedAuthority(before) : undefined;
      const authority = pin === undefined ? known : await learnAuthority(server, parsePin(pin), io.signal);
      const target = { url: server, workspace: defaultWorkspace, authority };
      const login = given === undefined ? await loginByCode(io, target, outputOf(io, command)) : { token: given };
      const { token } = login;
      const client = io.openClient({ ...target, token });
      try {
        const { version } = await namingAuthority(io, server, () => client.call(routes.server));
        const self = await client.call(routes.self);
        const names = (await client.list(routes.workspaceList, {})).map(({ name }) => name);
        const workspace = chooseWorkspace(flags.workspace ?? io.config.workspace, names);
        const made = { url: server.href, workspace, ...login, ...authorityFields(authority) };
        const contexts = { ...file?.contexts, [context]: made };
        await writeContextFile(io.config.home, { schema: 1, current: context, contexts });
        const { role, name, expiresAt } = self;
        outputOf(io, command).result(
          { url: server.href, version, workspace, role, name, expiresAt, context, file: contextPath(io.config.home) },
          () => `logged in to ${server.href} (version ${version}), workspace ${workspace}, as ${name} (${role})`,
        );
      } finally {
        client.close();
      }
    });
  return withExamples(
    command,
    'flotilla login https://127.0.0.1:8080 --authority <sha256> --token <token>',
    'flotilla login https://fleet.example.org --oidc',
    'flotilla login https://fleet.example.org --context production --workspace plant-2 --token - < token.txt',
  );
}

/** Asks the control plane where people log in, and has the person do so. */
async function loginByCode(io: CliIo, target: Omit<Target, 'token' | 'pin'>, out: Output): Promise<OidcLogin> {
  const client = io.openClient({ ...target, token: undefined });
  try {
    const { oidc } = await namingAuthority(io, target.url, () => client.call(routes.login));
    if (oidc === null) {
      throw new AppError(
        'auth.invalid',
        'this control plane knows no issuer (oidc.issuer): log in with --token instead',
      );
    }
    return await loginByDevice(oidc, io, (text) => out.note(text));
  } finally {
    client.close();
  }
}

function authorityFields(authority: ServerAuthority | undefined): { authority?: string; serverName?: string } {
  if (!authority) return {};
  const { certificate, serverName } = authority;
  return { authority: certificate, ...(serverName === undefined ? {} : { serverName }) };
}

/** A server of an unknown authority: says which it shows, for a person to compare. */
async function namingAuthority<T>(io: CliIo, url: URL, call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (error) {
    if (!(error instanceof AppError) || error.code !== 'server.untrusted') throw error;
    const shown = await presentedAuthority(url, io.signal);
    if (shown === undefined) throw error;
    throw new AppError(
      error.code,
      `${error.message}. It shows the authority ${shown}: compare that with what "flotilla cloud" printed on the ` +
        `control plane, and where they are the same add --authority ${shown}`,
      { details: { authority: shown }, cause: error },
    );
  }
}

async function readToken(io: CliIo, given: string | undefined): Promise<string> {
  const token = given === '-' ? (await readAll(io.stdin, 'standard input')).trim() : (given ?? io.config.token);
  if (token === undefined || token === '') {
    throw new AppError('auth.missing', 'no token given; the control plane printed its owner token at its first start');
  }
  // What cannot stand in a header cannot be a token; the text itself is not repeated.
  if (!/^[\x21-\x7e]+$/.test(token)) throw new AppError('auth.invalid', 'the token has characters that no token has');
  return token;
}

function chooseWorkspace(asked: string | undefined, existing: readonly string[]): string {
  if (asked !== undefined) {
    if (existing.includes(asked)) return asked;
    const near = nearest(asked, existing);
    const hint = near === undefined ? `there are ${existing.join(', ')}` : `did you mean ${near}?`;
    throw new AppError('workspace.not-found', `there is no workspace "${asked}"; ${hint}`);
  }
  return existing.includes(defaultWorkspace) ? defaultWorkspace : (existing[0] ?? defaultWorkspace);
}
