/** `flotilla layer …`: what goes over releases on the devices that a query finds. */
import { Command } from 'commander';
import { AppError } from '#shared/kernel/errors.js';
import { formatReference } from '#shared/kernel/names.js';
import { routes } from '#cloud/client/routes.js';
import type { layerCreate } from '#cloud/http/schemas/layers.js';
import type * as z from 'zod';
import { collect, parseCount, parseModuleImages, parseModuleSettings, parseName } from '../argument-parsers.js';
import type { CliIo } from '../cli-io.js';
import { withExamples } from '../help.js';
import { describeLayer, describeOutcome } from '../layer-text.js';
import { formatList } from '../output.js';
import { withSession } from '../session.js';

export function layerCommand(io: CliIo): Command {
  const group = new Command('layer').description(
    'Layers: modules and settings that go over the release of the devices that a query finds, by priority.',
  );
  for (const make of [createCommand, listCommand, showCommand, updateCommand, deleteCommand]) {
    group.addCommand(make(io));
  }
  return withExamples(
    group,
    `flotilla layer create night --where 'shift = "night"' --priority 10 --set detector.threshold=0.9`,
    'flotilla device desired cam-1 --explain',
  );
}

interface SaveOptions {
  readonly where?: string;
  readonly priority?: string;
  readonly module: readonly string[];
  readonly set: readonly string[];
  readonly description?: string;
  readonly staged: boolean;
  readonly live?: boolean;
  readonly dryRun: boolean;
}

function saving(command: Command): Command {
  return command
    .option('--module <[module=]image>', 'a module that it puts there, or its image; several times', collect, [])
    .option('--set <module.key=json>', 'a setting of a module; several times', collect, [])
    .option('--description <text>', 'what it is for')
    .option('--staged', 'devices take it with the next release that is deployed to them, not at once', false)
    .option('--dry-run', 'say how many devices change, and what on one of them; save nothing', false);
}

function createCommand(io: CliIo): Command {
  const command = saving(
    new Command('create')
      .description('Save a layer. For routes and policies write a file: flotilla apply.')
      .argument('<layer>')
      .requiredOption('--where <query>', 'which devices, by name, tags and capabilities')
      .requiredOption('--priority <number>', 'the higher covers the lower'),
  ).action(async (text: string, options: SaveOptions) => {
    const { where = '', priority = '', description, staged, dryRun } = options;
    const modules = modulesIn(options);
    if (modules === undefined) throw new AppError('request.invalid', 'the layer says nothing: give --module or --set');
    const body = {
      ...{ name: parseName(text, 'layer'), where, priority: parsePriority(priority), modules, staged, dryRun },
      ...(description === undefined ? {} : { description }),
    };
    await withSession(io, command, async ({ client, out }) => {
      const outcome = await client.call(routes.layerCreate, { body });
      out.result(outcome, () => describeOutcome(outcome, 'saved'));
    });
  });
  return withExamples(
    command,
    `flotilla layer create night --where 'shift = "night"' --priority 10 --set detector.threshold=0.9 --dry-run`,
    `flotilla layer create gate --where 'gate' --priority 20 --module alarm:2 --staged`,
  );
}

function updateCommand(io: CliIo): Command {
  const command = saving(
    new Command('update')
      .description('Change a layer. Modules that are given take the place of all those it has.')
      .argument('<layer>')
      .option('--where <query>', 'which devices from now on')
      .option('--priority <number>', 'the higher covers the lower')
      .option('--live', 'devices take it at once from now on'),
  ).action(async (text: string, options: SaveOptions) => {
    const layer = parseName(text, 'layer');
    const { where, priority, description, staged, live = false, dryRun } = options;
    if (staged && live) throw new AppError('request.invalid', 'give --staged or --live, not both');
    const modules = modulesIn(options);
    const body = {
      ...(where === undefined ? {} : { where }),
      ...(priority === undefined ? {} : { priority: parsePriority(priority) }),
      ...(modules === undefined ? {} : { modules }),
      ...(description === undefined ? {} : { description }),
      ...(staged || live ? { staged } : {}),
    };
    if (Object.keys(body).length === 0) {
      throw new AppError('request.invalid', 'nothing to change: flotilla layer update --help names what can be');
    }
    await withSession(io, command, async ({ client, out }) => {
      const outcome = await client.call(routes.layerPatch, { params: { layer }, body: { ...body, dryRun } });
      out.result(outcome, () => describeOutcome(outcome, 'saved'));
    });
  });
  return withExamples(
    command,
    'flotilla layer update night --set detector.threshold=0.95 --dry-run',
    'flotilla layer update gate --live',
  );
}

function listCommand(io: CliIo): Command {
  const command = new Command('list').description('List the layers, the highest priority first.').action(async () => {
    await withSession(io, command, async ({ client, out }) => {
      const found = await client.list(routes.layerList, {});
      const items = found.toSorted((a, b) => b.priority - a.priority);
      out.result(items, () =>
        formatList(
          items,
          ['LAYER', 'PRIORITY', 'STAGED', 'MODULES', 'WHERE'],
          (layer) => [
            ...[formatReference(layer), String(layer.priority), layer.staged ? 'yes' : 'no'],
            ...[Object.keys(layer.modules).join(' '), layer.where],
          ],
          'no layers; flotilla layer create <layer> --where <query> --priority <number> makes one',
        ),
      );
    });
  });
  return withExamples(command, 'flotilla layer list');
}

function showCommand(io: CliIo): Command {
  const command = new Command('show')
    .description('Show what a layer says, and for which devices.')
    .argument('<layer>')
    .action(async (text: string) => {
      const layer = parseName(text, 'layer');
      await withSession(io, command, async ({ client, out }) => {
        const body = await client.call(routes.layerGet, { params: { layer } });
        out.result(body, () => describeLayer(body));
      });
    });
  return withExamples(command, 'flotilla layer show night');
}

function deleteCommand(io: CliIo): Command {
  const command = new Command('delete')
    .description('Delete a layer. Its devices are again as they would be without it.')
    .argument('<layer>')
    .option('--staged', 'its devices keep it until a release is deployed to them', false)
    .option('--dry-run', 'say how many devices change, and what on one of them; delete nothing', false)
    .action(async (text: string, body: { readonly staged: boolean; readonly dryRun: boolean }) => {
      const layer = parseName(text, 'layer');
      await withSession(io, command, async ({ client, out }) => {
        const outcome = await client.call(routes.layerDelete, { params: { layer }, body });
        out.result(outcome, () => describeOutcome(outcome, 'deleted'));
      });
    });
  return withExamples(command, 'flotilla layer delete night --dry-run', 'flotilla layer delete night');
}

function modulesIn({
  module,
  set,
}: Pick<SaveOptions, 'module' | 'set'>): z.input<typeof layerCreate>['modules'] | undefined {
  const images = parseModuleImages(module);
  const named = set.map((text) => text.slice(0, Math.max(0, text.indexOf('.')))).filter((name) => name !== '');
  const names = [...new Set([...Object.keys(images), ...named.map((name) => parseName(name, 'module'))])];
  if (names.length === 0 && set.length === 0) return undefined;
  const settings = parseModuleSettings(set, names);
  return Object.fromEntries(
    names.map((name) => [
      name,
      {
        ...(images[name] === undefined ? {} : { image: images[name] }),
        ...(settings[name] === undefined ? {} : { settings: settings[name] }),
      },
    ]),
  );
}

function parsePriority(text: string): number {
  return text === '0' ? 0 : parseCount(text, 1_000_000);
}
