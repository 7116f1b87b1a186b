/** `flotilla context list | use | show | remove`: the logins that this user has, each without its token. */
import { X509Certificate } from 'node:crypto';
import { Command } from 'commander';
import { AppError } from '#shared/kernel/errors.js';
import type { CliIo } from '../cli-io.js';
import { type Context, type ContextFile, findContext, readContextFile, writeContextFile } from '../context-file.js';
import { withExamples } from '../help.js';
import { formatFields, formatList } from '../output.js';
import { outputOf } from '../session.js';

export function contextCommand(io: CliIo): Command {
  const group = new Command('context').description('The logins on this machine: each a control plane and a token.');
  for (const command of [listCommand(io), useCommand(io), showCommand(io), removeCommand(io)])
    group.addCommand(command);
  return withExamples(group, 'flotilla context list', 'flotilla context use production');
}

interface ShownContext {
  readonly name: string;
  readonly current: boolean;
  readonly url: string;
  readonly workspace: string;
  /** SHA-256 of the authority that was compared at the login, hex. */
  readonly authority?: string;
}

function shown(name: string, { url, workspace, authority }: Context, file: ContextFile): ShownContext {
  const pin =
    authority === undefined
      ? {}
      : { authority: new X509Certificate(authority).fingerprint256.replaceAll(':', '').toLowerCase() };
  return { name, current: name === file.current, url, workspace, ...pin };
}

async function readContexts(io: CliIo): Promise<ContextFile> {
  return (await readContextFile(io.config.home)) ?? { schema: 1, current: '', contexts: {} };
}

function listCommand(io: CliIo): Command {
  const command = new Command('list').description('List the logins; * marks the one in use.').action(async () => {
    const file = await readContexts(io);
    const items = Object.entries(file.contexts).map(([name, context]) => shown(name, context, file));
    outputOf(io, command).result(items, () =>
      formatList(
        items,
        ['', 'NAME', 'URL', 'WORKSPACE'],
        ({ name, current, url, workspace }) => [current ? '*' : '', name, url, workspace],
        'no logins; flotilla login <url> --token <token> makes one',
      ),
    );
  });
  return withExamples(command, 'flotilla context list');
}

function useCommand(io: CliIo): Command {
  const command = new Command('use')
    .description('Talk to this control plane from now on.')
    .argument('<name>')
    .action(async (name: string) => {
      const file = await readContexts(io);
      const { url } = findContext(name, file);
      await writeContextFile(io.config.home, { ...file, current: name });
      outputOf(io, command).result({ current: name }, () => `talking to ${url}`);
    });
  return withExamples(command, 'flotilla context use production');
}

function showCommand(io: CliIo): Command {
  const command = new Command('show')
    .description('Show one login, the one in use where none is named; never its token.')
    .argument('[name]')
    .action(async (asked: string | undefined) => {
      const file = await readContexts(io);
      const name = asked ?? file.current;
      if (name === '') throw new AppError('auth.missing', 'there is no login; flotilla login <url> --token <token>');
      const context = shown(name, findContext(name, file), file);
      outputOf(io, command).result(context, () =>
        formatFields([
          ['name', context.name],
          ['url', context.url],
          ['workspace', context.workspace],
          ['authority', context.authority ?? 'those that this machine trusts'],
          ['in use', context.current ? 'yes' : 'no'],
        ]),
      );
    });
  return withExamples(command, 'flotilla context show', 'flotilla context show production --output json');
}

function removeCommand(io: CliIo): Command {
  const command = new Command('remove')
    .description('Forget a login and its token on this machine; the token itself stays as it is.')
    .argument('<name>')
    .action(async (name: string) => {
      const file = await readContexts(io);
      findContext(name, file);
      const { [name]: _, ...contexts } = file.contexts;
      const current = file.current === name ? (Object.keys(contexts)[0] ?? '') : file.current;
      await writeContextFile(io.config.home, { ...file, current, contexts });
      outputOf(io, command).result({ removed: name, current }, () =>
        current === '' ? `forgot ${name}; no login is left` : `forgot ${name}; ${current} is in use`,
      );
    });
  return withExamples(command, 'flotilla context remove lab');
}
