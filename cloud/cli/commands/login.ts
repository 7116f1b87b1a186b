/** `flotilla login`: checks a token against its control plane and remembers both. */
import { Command } from 'commander';
import { AppError } from '#shared/kernel/errors.js';
import { nearest } from '#shared/kernel/names.js';
import { routes } from '#cloud/client/routes.js';
import { parseName } from '../argument-parsers.js';
import type { CliIo } from '../cli-io.js';
import {
  contextPath,
  defaultContext,
  defaultWorkspace,
  parseServerUrl,
  readContextFile,
  writeContextFile,
} from '../context-file.js';
import { withExamples } from '../help.js';
import { readAll } from '../input.js';
import { globalFlags, outputOf } from '../session.js';

export function loginCommand(io: CliIo): Command {
  const command = new Command('login')
    .description('Check a token against a control plane and remember both for later commands.')
    .argument('<url>', 'the control plane, for example http://127.0.0.1:8080')
    .option('--token <token>', 'the token; "-" reads it from standard input (or FLOTILLA_TOKEN)')
    .action(async (url: string, options: { readonly token?: string }) => {
      const flags = globalFlags(command);
      const context = parseName(flags.context ?? defaultContext, 'context');
      const server = parseServerUrl(url);
      const token = await readToken(io, options.token);
      const client = io.openClient({ url: server, token, workspace: defaultWorkspace });
      try {
        const { version } = await client.call(routes.server);
        const names = (await client.list(routes.workspaceList, {})).map(({ name }) => name);
        const workspace = chooseWorkspace(flags.workspace ?? io.config.workspace, names);
        const file = await readContextFile(io.config.home);
        const contexts = { ...file?.contexts, [context]: { url: server.href, workspace, token } };
        await writeContextFile(io.config.home, { schema: 1, current: context, contexts });
        outputOf(io, command).result(
          { url: server.href, version, workspace, context, file: contextPath(io.config.home) },
          () => `logged in to ${server.href} (version ${version}), workspace ${workspace}`,
        );
      } finally {
        client.close();
      }
    });
  return withExamples(
    command,
    'flotilla login http://127.0.0.1:8080 --token <token>',
    'flotilla login https://fleet.example.org --context production --workspace plant-2 --token - < token.txt',
  );
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
