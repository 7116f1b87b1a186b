/** `flotilla release …`: sets of modules at exact digests, which a device runs as a whole. */
import { Command } from 'commander';
import { AppError } from '#shared/kernel/errors.js';
import { formatReference } from '#shared/kernel/names.js';
import { routes } from '#cloud/client/routes.js';
import {
  collect,
  parseModuleImages,
  parseModuleSettings,
  parseName,
  parseReleaseReference,
} from '../argument-parsers.js';
import type { CliIo } from '../cli-io.js';
import { withExamples } from '../help.js';
import { formatAge, formatList } from '../output.js';
import { describeDifferences, describeRelease, releaseDifferences } from '../release-text.js';
import { withSession } from '../session.js';

export function releaseCommand(io: CliIo): Command {
  const group = new Command('release').description(
    'Releases: modules at exact digests with their settings. A release never changes; its next version does.',
  );
  for (const make of [createCommand, listCommand, showCommand, diffCommand, deleteCommand]) group.addCommand(make(io));
  return withExamples(
    group,
    'flotilla release create vision --module detector=detector:4 --module tracker:3',
    'flotilla release diff vision:1 vision:2',
    'flotilla deploy --release vision:2 --device cam-1',
  );
}

interface CreateOptions {
  readonly module: readonly string[];
  readonly set: readonly string[];
  readonly description?: string;
  readonly atomic: boolean;
}

function createCommand(io: CliIo): Command {
  const command = new Command('create')
    .description(
      'Make the next version of a release. For policies, probation and requirements write a file: flotilla apply.',
    )
    .argument('<release>', 'its name; the version is given')
    .requiredOption('--module <[module=]image>', 'name:version or digest of an image; several times', collect, [])
    .option('--set <module.key=json>', 'a setting of a module; several times', collect, [])
    .option('--description <text>', 'what it is for')
    .option('--atomic', 'on a device, all that changes takes over together, or none of it', false)
    .action(async (text: string, options: CreateOptions) => {
      const name = parseName(text, 'release');
      const images = parseModuleImages(options.module);
      const settings = parseModuleSettings(options.set, Object.keys(images));
      const modules = Object.fromEntries(
        Object.entries(images).map(([module, image]) => [module, { image, settings: settings[module] ?? {} }]),
      );
      const { description, atomic } = options;
      await withSession(io, command, async ({ client, out }) => {
        const made = await client.call(routes.releaseCreate, {
          body: { name, modules, atomic, ...(description === undefined ? {} : { description }) },
        });
        out.result(made, () => describeRelease(made));
      });
    });
  return withExamples(
    command,
    'flotilla release create vision --module detector=detector:4 --module tracker:3 --set detector.threshold=0.8',
  );
}

function listCommand(io: CliIo): Command {
  const command = new Command('list')
    .description('List releases, newest first.')
    .option('--name <release>', 'only versions of this one')
    .action(async (options: { readonly name?: string }) => {
      const name = options.name === undefined ? undefined : parseName(options.name, 'release');
      await withSession(io, command, async ({ client, out }) => {
        const items = await client.list(routes.releaseList, { query: { name } });
        const now = io.clock.now();
        out.result(items, () =>
          formatList(
            items,
            ['RELEASE', 'CREATED', 'MODULES', 'DESCRIPTION'],
            (release) => [
              formatReference(release),
              formatAge(release.createdAt, now),
              Object.entries(release.modules)
                .map(([module, { image }]) => `${module === image.name ? '' : `${module}=`}${formatReference(image)}`)
                .join(' '),
              release.description,
            ],
            'no releases; flotilla release create <name> --module <image> makes one',
          ),
        );
      });
    });
  return withExamples(command, 'flotilla release list', 'flotilla release list --name vision');
}

function showCommand(io: CliIo): Command {
  const command = new Command('show')
    .description('Show one release: its modules, their digests and settings.')
    .argument('<release>', 'name:version')
    .action(async (text: string) => {
      const release = parseReleaseReference(text);
      await withSession(io, command, async ({ client, out }) => {
        const body = await client.call(routes.releaseGet, { params: { release } });
        out.result(body, () => describeRelease(body));
      });
    });
  return withExamples(command, 'flotilla release show vision:2');
}

function diffCommand(io: CliIo): Command {
  const command = new Command('diff')
    .description('Show in what two releases differ, field by field.')
    .argument('<before>', 'name:version')
    .argument('<after>', 'name:version')
    .action(async (before: string, after: string) => {
      const references = [parseReleaseReference(before), parseReleaseReference(after)];
      await withSession(io, command, async ({ client, out }) => {
        const [from, to] = await Promise.all(
          references.map((release) => client.call(routes.releaseGet, { params: { release } })),
        );
        if (from === undefined || to === undefined) throw new AppError('internal', 'two releases were asked for');
        const differences = releaseDifferences(from, to);
        out.result(differences, () => describeDifferences(differences));
      });
    });
  return withExamples(command, 'flotilla release diff vision:1 vision:2');
}

function deleteCommand(io: CliIo): Command {
  const command = new Command('delete')
    .description('Delete one release; refused while a device has it. Its version is not given again.')
    .argument('<release>', 'name:version')
    .action(async (text: string) => {
      const release = parseReleaseReference(text);
      await withSession(io, command, async ({ client, out }) => {
        await client.call(routes.releaseDelete, { params: { release } });
        out.result({ deleted: release }, () => `deleted ${release}`);
      });
    });
  return withExamples(command, 'flotilla release delete vision:1');
}
