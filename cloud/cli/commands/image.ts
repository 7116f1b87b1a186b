/** `flotilla image …`: modules packaged with their models, signed. */
import { Command } from 'commander';
import { formatReference } from '#shared/kernel/names.js';
import type { ImageBody } from '#cloud/http/schemas/images.js';
import { routes } from '#cloud/client/routes.js';
import { parseImageReference } from '../argument-parsers.js';
import type { CliIo } from '../cli-io.js';
import { withExamples } from '../help.js';
import { formatAge, formatBytes, formatFields, formatList, formatTable, formatTags, shortDigest } from '../output.js';
import { withSession } from '../session.js';
import { imageBuildCommand } from './image-build.js';
import { imageExportCommand } from './image-export.js';
import { imageIndexCommand } from './image-index.js';
import { imageSignCommand } from './image-sign.js';

export function imageCommand(io: CliIo): Command {
  const group = new Command('image').description('Build modules into signed images and look after them.');
  for (const command of [
    imageBuildCommand(io),
    imageSignCommand(io),
    imageIndexCommand(io),
    listCommand(io),
    showCommand(io),
    imageExportCommand(io),
    deleteCommand(io),
  ]) {
    group.addCommand(command);
  }
  return withExamples(group, 'flotilla image build modules/digits --model digits:1', 'flotilla image list');
}

function listCommand(io: CliIo): Command {
  const command = new Command('list').description('List the registered images.').action(async () => {
    await withSession(io, command, async ({ client, out }) => {
      const items = await client.list(routes.imageList, {});
      out.result(items, () =>
        formatList(
          items,
          ['IMAGE', 'FLAVOR', 'SIZE', 'MODELS', 'DIGEST', 'CREATED'],
          (image) => [
            formatReference(image),
            image.flavor,
            formatBytes(image.size),
            image.models.length === 0 ? '-' : image.models.join(' '),
            shortDigest(image.digest),
            formatAge(image.createdAt, io.clock.now()),
          ],
          'no images; flotilla image build <folder> builds one',
        ),
      );
    });
  });
  return withExamples(command, 'flotilla image list');
}

function showCommand(io: CliIo): Command {
  const command = new Command('show')
    .description('Show one image with its layers and signature.')
    .argument('<image>', 'name:version or digest')
    .action(async (text: string) => {
      const reference = parseImageReference(text);
      await withSession(io, command, async ({ client, out }) => {
        const image = await client.call(routes.imageGet, { params: { reference } });
        out.result(image, () => describeImage(image));
      });
    });
  return withExamples(command, 'flotilla image show digits:1');
}

function deleteCommand(io: CliIo): Command {
  const command = new Command('delete')
    .description('Delete one image; refused while it is deployed.')
    .argument('<image>', 'name:version or digest')
    .action(async (text: string) => {
      const reference = parseImageReference(text);
      await withSession(io, command, async ({ client, out }) => {
        await client.call(routes.imageDelete, { params: { reference } });
        out.result({ deleted: text }, () => `deleted ${text}`);
      });
    });
  return withExamples(command, 'flotilla image delete digits:1');
}

function describeImage(image: ImageBody): string {
  return [
    formatFields([
      ['image', formatReference(image)],
      ['digest', image.digest],
      ['flavor', image.flavor],
      ['models', image.models.length === 0 ? '-' : image.models.join(' ')],
      ['tags', formatTags(image.tags)],
      ['size', formatBytes(image.size)],
      ['created', image.createdAt],
      ['signed by', image.signature.keyIds.join(' ')],
    ]),
    ...(image.variants?.length ? [describeVariants(image.variants)] : []),
    formatTable(
      ['LAYER', 'SIZE', 'DIGEST', 'MEDIA TYPE'],
      image.layers.map((layer) => [
        layer.path === '' ? '-' : layer.path,
        formatBytes(layer.size),
        shortDigest(layer.digest),
        layer.mediaType,
      ]),
    ),
  ].join('\n');
}

/** In the order in which devices look at them. */
function describeVariants(variants: NonNullable<ImageBody['variants']>): string {
  return formatTable(
    ['VARIANT', 'IMAGE', 'DIGEST', 'PROVIDERS'],
    variants.map(({ accelerator, precision, image, providers }) => [
      `${accelerator}/${precision}`,
      formatReference(image),
      shortDigest(image.digest),
      providers.join(' '),
    ]),
  );
}
