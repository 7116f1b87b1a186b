/** `flotilla model register`: reads the graph here, uploads what the server lacks, and waits for its word. */
import { basename, dirname, join } from 'node:path';
import { Command } from 'commander';
import { AppError } from '#shared/kernel/errors.js';
import { digestFile } from '#shared/package/digest.js';
import { relativePathSchema } from '#shared/protocol/primitives.js';
import { readOnnx } from '#shared/package/onnx/read-onnx.js';
import { uploadFile } from '#cloud/client/blob-transfer.js';
import { routes } from '#cloud/client/routes.js';
import { followActivity, versionMade } from '../activity-follow.js';
import { collect, parseName, parseTags } from '../argument-parsers.js';
import type { CliIo } from '../cli-io.js';
import { withExamples } from '../help.js';
import { fileError } from '../input.js';
import { formatBytes } from '../output.js';
import { type Session, withSession } from '../session.js';

interface RegisterOptions {
  readonly name: string;
  readonly tag: readonly string[];
  readonly property: readonly string[];
  readonly description: string;
}

/** One file of the model: where it lies here, and what it is called there. */
interface ModelFile {
  readonly path: string;
  readonly digest: string;
  readonly size: number;
  readonly registeredAs: string;
}

export function modelRegisterCommand(io: CliIo): Command {
  const command = new Command('register')
    .description('Register an ONNX file, with its external data, as the next version of a model.')
    .argument('<file>', 'the ONNX file; files of external data are found through it')
    .requiredOption('--name <name>', "the model's name")
    .option('--tag <k=v>', 'a tag, which can be changed later; several times', collect, [])
    .option('--property <k=v>', 'a property, which never changes; several times', collect, [])
    .option('--description <text>', 'what it is', '')
    .action(async (file: string, options: RegisterOptions) => {
      const name = parseName(options.name, 'model');
      const body = {
        name,
        description: options.description,
        tags: parseTags(options.tag),
        properties: parseTags(options.property),
      };
      await withSession(io, command, async (session) => {
        const files = await modelFiles(file);
        await uploadAll(session, files);
        const started = await session.client.call(routes.modelRegister, {
          body: { ...body, files: files.map(({ registeredAs, digest }) => ({ path: registeredAs, digest })) },
        });
        const ended = await followActivity(session, started);
        const version = versionMade(ended);
        const model =
          version === undefined ? undefined : await session.client.call(routes.modelGet, { params: { name, version } });
        session.out.result(model ?? ended, () => `registered ${name}:${version ?? '?'}`);
      });
    });
  return withExamples(
    command,
    'flotilla model register modules/digits/model.onnx --name digits --tag stage=dev',
    'flotilla model register model.onnx --name digits --property dataset=2024-03 --description "trained on all sites"',
  );
}

async function modelFiles(path: string): Promise<readonly ModelFile[]> {
  const { externalFiles } = await readOnnx(path).catch((error: unknown) => {
    throw fileError(error, path);
  });
  // The graph's own name is free; names of external data stand in the graph.
  const ownName = relativePathSchema.safeParse(basename(path)).success ? basename(path) : 'model.onnx';
  const files = [await described(path, ownName)];
  for (const external of externalFiles) {
    if (!relativePathSchema.safeParse(external).success) {
      throw new AppError(
        'model.invalid',
        `${path} names the external data file "${external}", which is no plain relative path; save the model with external data beside it`,
      );
    }
    files.push(await described(join(dirname(path), external), external));
  }
  return files;
}

async function described(path: string, registeredAs: string): Promise<ModelFile> {
  try {
    return { path, registeredAs, ...(await digestFile(path)) };
  } catch (error) {
    throw fileError(error, path);
  }
}

async function uploadAll({ client, progress }: Session, files: readonly ModelFile[]): Promise<void> {
  for (const file of files) {
    const sent = await uploadFile(client, file, (done, total) => progress.bytes(`uploading ${file.path}`, done, total));
    progress.line(
      sent
        ? `uploaded ${file.path} (${formatBytes(file.size)})`
        : `${file.path}: the server has it already (${formatBytes(file.size)})`,
    );
  }
}
