/** `flotilla model …`: registered versions of models. */
import { join } from 'node:path';
import { Command } from 'commander';
import { formatReference } from '#shared/kernel/names.js';
import type { ModelBody } from '#cloud/http/schemas/models.js';
import { downloadFile } from '#cloud/client/blob-transfer.js';
import { routes } from '#cloud/client/routes.js';
import { collect, parseModelReference, parseName, parseTagChanges } from '../argument-parsers.js';
import type { CliIo } from '../cli-io.js';
import { withExamples } from '../help.js';
import { formatAge, formatBytes, formatFields, formatList, formatTable, formatTags, shortDigest } from '../output.js';
import { withSession } from '../session.js';
import { modelRegisterCommand } from './model-register.js';

export function modelCommand(io: CliIo): Command {
  const group = new Command('model').description('Register models and look after their versions.');
  for (const command of [
    modelRegisterCommand(io),
    listCommand(io),
    showCommand(io),
    downloadCommand(io),
    tagCommand(io),
    deleteCommand(io),
  ]) {
    group.addCommand(command);
  }
  return withExamples(group, 'flotilla model register model.onnx --name digits', 'flotilla model show digits:1');
}

function listCommand(io: CliIo): Command {
  const command = new Command('list')
    .description('List the registered model versions, the newest first.')
    .option('--name <name>', 'only versions of this model')
    .option('--tag <tag>', 'only versions with this tag, k=v or k; several times', collect, [])
    .action(async (options: { readonly name?: string; readonly tag: readonly string[] }) => {
      const name = options.name === undefined ? {} : { name: parseName(options.name, 'model') };
      await withSession(io, command, async ({ client, out }) => {
        const items = await client.list(routes.modelList, { query: { ...name, tag: [...options.tag] } });
        out.result(items, () =>
          formatList(
            items,
            ['MODEL', 'SIZE', 'CREATED', 'TAGS', 'DESCRIPTION'],
            (model) => [
              formatReference(model),
              formatBytes(model.size),
              formatAge(model.createdAt, io.clock.now()),
              formatTags(model.tags),
              model.description,
            ],
            'no models; flotilla model register <file.onnx> --name <name> registers one',
          ),
        );
      });
    });
  return withExamples(
    command,
    'flotilla model list --tag stage=dev',
    "flotilla model list --output json | jq -r '.[].name'",
  );
}

function showCommand(io: CliIo): Command {
  const command = new Command('show')
    .description('Show one version with its inputs, outputs and files.')
    .argument('<model>', 'name:version')
    .action(async (text: string) => {
      const params = paramsOf(text);
      await withSession(io, command, async ({ client, out }) => {
        const model = await client.call(routes.modelGet, { params });
        out.result(model, () => describeModel(model));
      });
    });
  return withExamples(command, 'flotilla model show digits:1');
}

function downloadCommand(io: CliIo): Command {
  const command = new Command('download')
    .description('Download the files of one version, each checked against its digest.')
    .argument('<model>', 'name:version')
    .option('-o, --out <dir>', 'folder to write to (default: ./<name>-<version>)')
    .action(async (text: string, options: { readonly out?: string }) => {
      const params = paramsOf(text);
      const folder = options.out ?? `${params.name}-${params.version}`;
      await withSession(io, command, async ({ client, out, progress }) => {
        const model = await client.call(routes.modelGet, { params });
        const files = model.files.map((file) => ({ ...file, path: join(folder, file.path) }));
        for (const file of files) {
          await downloadFile(client, file, (done, total) => progress.bytes(file.path, done, total));
        }
        progress.clear();
        out.result({ model: formatReference(model), files }, () => files.map(({ path }) => path).join('\n'));
      });
    });
  return withExamples(command, 'flotilla model download digits:1', 'flotilla model download digits:1 -o /tmp/digits');
}

function tagCommand(io: CliIo): Command {
  const command = new Command('tag')
    .description('Set and remove tags.')
    .argument('<model>', 'name:version')
    .argument('<changes...>', 'name=value sets a tag, name- removes it')
    .action(async (text: string, changes: readonly string[]) => {
      const params = paramsOf(text);
      const tags = parseTagChanges(changes);
      await withSession(io, command, async ({ client, out }) => {
        const model = await client.call(routes.modelPatch, { params, body: { tags } });
        out.result(model, () => `${formatReference(model)}  ${formatTags(model.tags)}`);
      });
    });
  return withExamples(command, 'flotilla model tag digits:1 stage=production owner-');
}

function deleteCommand(io: CliIo): Command {
  const command = new Command('delete')
    .description('Delete one version; refused while it is deployed.')
    .argument('<model>', 'name:version')
    .action(async (text: string) => {
      const params = paramsOf(text);
      await withSession(io, command, async ({ client, out }) => {
        await client.call(routes.modelDelete, { params });
        out.result({ deleted: text }, () => `deleted ${text}`);
      });
    });
  return withExamples(command, 'flotilla model delete digits:1');
}

function paramsOf(text: string): { name: string; version: string } {
  const { name, version } = parseModelReference(text);
  return { name, version: String(version) };
}

function describeModel(model: ModelBody): string {
  const { signature } = model;
  const tensors = [
    ...signature.inputs.map((tensor) => ['input', tensor.name, tensor.datatype, `[${tensor.shape.join(', ')}]`]),
    ...signature.outputs.map((tensor) => ['output', tensor.name, tensor.datatype, `[${tensor.shape.join(', ')}]`]),
  ];
  const opsets = Object.entries(signature.opsets).map(([domain, version]) =>
    domain === '' ? String(version) : `${domain} ${String(version)}`,
  );
  return [
    formatFields([
      ['model', formatReference(model)],
      ['description', model.description === '' ? undefined : model.description],
      ['tags', formatTags(model.tags)],
      ['properties', formatTags(model.properties)],
      ['size', formatBytes(model.size)],
      ['created', model.createdAt],
      ['producer', signature.producer === '' ? undefined : signature.producer],
      ['opsets', opsets.join(', ')],
    ]),
    formatTable(['TENSOR', 'NAME', 'TYPE', 'SHAPE'], tensors),
    formatTable(
      ['FILE', 'SIZE', 'DIGEST'],
      model.files.map((file) => [file.path, formatBytes(file.size), shortDigest(file.digest)]),
    ),
  ].join('\n');
}
