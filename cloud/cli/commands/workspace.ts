/** `flotilla workspace create | list | delete | use`. */
import { Command } from 'commander';
import { AppError } from '#shared/kernel/errors.js';
import { nearest } from '#shared/kernel/names.js';
import { routes } from '#cloud/client/routes.js';
import { parseName } from '../argument-parsers.js';
import type { CliIo } from '../cli-io.js';
import { readContextFile, writeContextFile } from '../context-file.js';
import { withExamples } from '../help.js';
import { formatAge, formatList } from '../output.js';
import { globalFlags, withSession } from '../session.js';

export function workspaceCommand(io: CliIo): Command {
  const group = new Command('workspace').description('The top-level scopes: everything belongs to one.');
  for (const command of [createCommand(io), listCommand(io), deleteCommand(io), useCommand(io)]) {
    group.addCommand(command);
  }
  return withExamples(group, 'flotilla workspace list', 'flotilla workspace use plant-2');
}

function createCommand(io: CliIo): Command {
  const command = new Command('create')
    .description('Make a workspace.')
    .argument('<name>')
    .action(async (text: string) => {
      const name = parseName(text, 'workspace');
      await withSession(io, command, async ({ client, out }) => {
        const made = await client.call(routes.workspaceCreate, { body: { name } });
        out.result(made, () => `made workspace ${made.name}; flotilla workspace use ${made.name} works in it`);
      });
    });
  return withExamples(command, 'flotilla workspace create plant-2');
}

function listCommand(io: CliIo): Command {
  const command = new Command('list').description('List the workspaces; * marks the one in use.').action(async () => {
    await withSession(io, command, async ({ client, out }) => {
      const items = await client.list(routes.workspaceList, {});
      out.result(items, () =>
        formatList(
          items,
          ['', 'NAME', 'CREATED'],
          ({ name, createdAt }) => [name === client.workspace ? '*' : '', name, formatAge(createdAt, io.clock.now())],
          'no workspaces; flotilla workspace create <name> makes one',
        ),
      );
    });
  });
  return withExamples(command, 'flotilla workspace list');
}

function deleteCommand(io: CliIo): Command {
  const command = new Command('delete')
    .description('Delete a workspace that holds nothing any more.')
    .argument('<name>')
    .action(async (text: string) => {
      const name = parseName(text, 'workspace');
      await withSession(io, command, async ({ client, out }) => {
        await client.call(routes.workspaceDelete, { params: { name } });
        out.result({ deleted: name }, () => `deleted workspace ${name}`);
      });
    });
  return withExamples(command, 'flotilla workspace delete plant-2');
}

function useCommand(io: CliIo): Command {
  const command = new Command('use')
    .description('Work in this workspace from now on.')
    .argument('<name>')
    .action(async (text: string) => {
      const name = parseName(text, 'workspace');
      await withSession(io, command, async ({ client, out }) => {
        const names = (await client.list(routes.workspaceList, {})).map((workspace) => workspace.name);
        if (!names.includes(name)) {
          const near = nearest(name, names);
          const hint = near === undefined ? `flotilla workspace create ${name} makes it` : `did you mean ${near}?`;
          throw new AppError('workspace.not-found', `there is no workspace "${name}"; ${hint}`);
        }
        await remember(io, globalFlags(command).context, name);
        out.result({ workspace: name }, () => `working in ${name}`);
      });
    });
  return withExamples(command, 'flotilla workspace use plant-2');
}

async function remember(io: CliIo, asked: string | undefined, workspace: string): Promise<void> {
  const file = await readContextFile(io.config.home);
  const name = asked ?? file?.current ?? '';
  const context = file?.contexts[name];
  if (file === undefined || context === undefined) {
    throw new AppError('auth.missing', 'there is no login to remember it in; set FLOTILLA_WORKSPACE, or log in first');
  }
  const contexts = { ...file.contexts, [name]: { ...context, workspace } };
  await writeContextFile(io.config.home, { ...file, contexts });
}
