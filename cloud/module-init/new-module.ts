/** Writes the folder of a new module around an ONNX file: whole, or not at all. */
import { randomUUID } from 'node:crypto';
import { copyFile, mkdir, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { AppError } from '#shared/kernel/errors.js';
import { diskError, errno } from '#shared/platform/atomic-file.js';
import { plainFile } from '#shared/package/module-files.js';
import { readOnnx } from '#shared/package/onnx/read-onnx.js';
import { relativePathSchema } from '#shared/protocol/primitives.js';
import { moduleTexts, type NewFlavor } from './module-text.js';
import { sampleModel } from './sample-model.js';
import type { Sample } from './sample/protocol.js';

export interface NewModuleRequest {
  readonly name: string;
  readonly flavor: NewFlavor;
  /** The ONNX file; files of external data are taken from beside it. */
  readonly model: string;
  /** A V2 request in JSON, for the golden vector and the example; made up where there is none. */
  readonly example: string | undefined;
  /** Must not be there, or be empty. */
  readonly folder: string;
}

export interface WrittenModule {
  readonly sample: Sample;
  /** In the folder, sorted. */
  readonly files: readonly string[];
}

const modelFile = 'model.onnx';

/** @throws AppError for a model that cannot be served, a folder that is in use, a disk that does not take it */
export async function writeNewModule(request: NewModuleRequest, signal: AbortSignal): Promise<WrittenModule> {
  const { name, flavor } = request;
  const folder = resolve(request.folder);
  await refuseUsed(folder);
  const model = await plainFile(resolve(request.model), 'the model');
  const { externalFiles } = await readOnnx(model);
  const sample = await sampleModel(model, request.example, signal);
  const texts = moduleTexts({ name, flavor, modelFile, sample });
  const copies = [
    { from: model, to: modelFile },
    ...externalFiles.map((file) => ({ from: join(dirname(model), file), to: checkedPath(file) })),
  ];
  refuseClash([...Object.keys(texts), ...copies.map(({ to }) => to)]);
  await fill(folder, texts, copies);
  return { sample, files: [...Object.keys(texts), ...copies.map(({ to }) => to)].sort() };
}

async function refuseUsed(folder: string): Promise<void> {
  const entries = await readdir(folder).catch((error: unknown) => {
    if (errno(error) === 'ENOENT') return [];
    if (errno(error) === 'ENOTDIR') throw new AppError('request.invalid', `${folder} is a file; name a new folder`);
    throw diskError(error, `cannot read ${folder}`);
  });
  if (entries.length === 0) return;
  throw new AppError('request.invalid', `${folder} is there already and not empty; --folder names another`);
}

function checkedPath(file: string): string {
  if (relativePathSchema.safeParse(file).success) return file;
  throw new AppError(
    'model.invalid',
    `the model has external data in ${JSON.stringify(file)}, a path that modules cannot hold; save it again with a plain file name`,
  );
}

function refuseClash(files: readonly string[]): void {
  const twice = files.find((file, index) => files.indexOf(file) !== index);
  if (twice === undefined) return;
  throw new AppError(
    'model.invalid',
    `the model's external data is named ${twice}, as a file of the module; save the model with another name for it`,
  );
}

/** Beside the target first, so that what is there is whole. */
async function fill(
  folder: string,
  texts: Readonly<Record<string, string>>,
  copies: readonly { readonly from: string; readonly to: string }[],
): Promise<void> {
  const scratch = `${folder}.${randomUUID().slice(0, 8)}`;
  try {
    await mkdir(scratch, { recursive: true });
    for (const { from, to } of copies) {
      const target = join(scratch, to);
      await mkdir(dirname(target), { recursive: true });
      await copyFile(from, target);
    }
    for (const [file, text] of Object.entries(texts)) await writeFile(join(scratch, file), text);
    await rename(scratch, folder);
  } catch (error) {
    await rm(scratch, { recursive: true, force: true });
    throw diskError(error, `cannot write ${folder}`);
  }
}
