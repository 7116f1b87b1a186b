/**
 * The activity `model.register`: what a model version must be before it exists. Nothing is written until
 * everything holds, and then all of it in one transaction.
 */
import { join } from 'node:path';
import type * as z from 'zod';
import { AppError } from '#shared/kernel/errors.js';
import { toInstant, type Clock } from '#shared/kernel/clock.js';
import { readOnnx, type OnnxModel } from '#shared/package/onnx/read-onnx.js';
import { relativePathSchema } from '#shared/protocol/primitives.js';
import type { ActivityContext, ActivityKind } from '#cloud/activities/activity-runner.js';
import { modelCreate } from '#cloud/http/schemas/models.js';
import type { BlobRepository } from '#cloud/store/blob-repository.js';
import type { BlobStore } from '#cloud/store/blob-store.js';
import type { ModelFile, ModelRepository } from '#cloud/store/model-repository.js';
import { proveLoadable, type LoadCheckOptions } from './load-check/load-check.js';
import { withStagedModel } from './staged-model.js';

export const registerModelKind = 'model.register';

export interface RegisterModelDeps {
  readonly store: BlobStore;
  readonly blobs: BlobRepository;
  readonly models: ModelRepository;
  readonly clock: Clock;
  readonly loadCheck: LoadCheckOptions;
  readonly maxModelBytes: number;
  /** Folder for files that live as long as the activity. */
  readonly workFolder: string;
}

type ModelCreate = z.output<typeof modelCreate>;

export function registerModel(deps: RegisterModelDeps): ActivityKind {
  return {
    kind: registerModelKind,
    idempotent: true,
    run: async (input, context) => {
      const model = modelCreate.parse(input);
      const files = await findFiles(deps, context.workspace, model);
      for (const file of files) {
        context.signal.throwIfAborted();
        await deps.store.verify(file.digest);
        await context.log(`${file.path}: ${file.digest}, ${String(file.size)} bytes`);
      }
      const onnx = await withStagedModel(deps.store, files, join(deps.workFolder, context.id), (graph) =>
        inspect(deps, graph, files, context),
      );
      context.signal.throwIfAborted();
      return store(deps, model, files, onnx, context);
    },
  };
}

async function findFiles(deps: RegisterModelDeps, workspace: string, model: ModelCreate): Promise<ModelFile[]> {
  const files: ModelFile[] = [];
  for (const { path, digest } of model.files) {
    if (files.some((file) => file.path === path)) {
      throw new AppError('model.invalid', `${path} is listed twice`);
    }
    const size = await deps.blobs.find(workspace, digest);
    if (size === undefined) {
      throw new AppError('blob.not-found', `${path}: there is no blob ${digest} in this workspace: upload it first`);
    }
    files.push({ path, digest, size });
  }
  const total = files.reduce((sum, file) => sum + file.size, 0);
  if (total > deps.maxModelBytes) {
    throw new AppError(
      'request.too-large',
      `${model.name} has ${String(total)} bytes, at most ${String(deps.maxModelBytes)} are allowed (limits.maxModelBytes)`,
    );
  }
  return files;
}

async function inspect(
  deps: RegisterModelDeps,
  graph: string,
  files: readonly ModelFile[],
  context: ActivityContext,
): Promise<OnnxModel> {
  const onnx = await readGraph(graph, files);
  checkExternalFiles(onnx, files);
  await context.log(
    `ONNX IR ${String(onnx.signature.irVersion)}, ${onnx.signature.producer}; inputs ${names(onnx.signature.inputs)}; outputs ${names(onnx.signature.outputs)}`,
  );
  context.signal.throwIfAborted();
  const { notServed } = await proveLoadable(graph, deps.loadCheck, context.signal);
  await context.log('onnxruntime loads it');
  for (const reason of notServed) await context.log(`left out when it is served: ${reason}`);
  return onnx;
}

/** The reader names the staged path; the user knows the file by the name in the request. */
async function readGraph(graph: string, files: readonly ModelFile[]): Promise<OnnxModel> {
  try {
    return await readOnnx(graph);
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    throw new AppError(error.code, error.message.replaceAll(graph, files[0]?.path ?? ''), { cause: error });
  }
}

/** Exactly the graph and what it refers to: a file too many would be stored for ever and never be used. */
function checkExternalFiles(onnx: OnnxModel, files: readonly ModelFile[]): void {
  const [graph, ...others] = files.map((file) => file.path);
  const folder = graph?.includes('/') === true ? graph.slice(0, graph.lastIndexOf('/') + 1) : '';
  for (const name of onnx.externalFiles) {
    if (!relativePathSchema.safeParse(name).success) {
      throw new AppError(
        'model.invalid',
        `the graph refers to external data "${name.slice(0, 200)}", which is outside its folder`,
      );
    }
  }
  const needed = onnx.externalFiles.map((name) => folder + name);
  const missing = needed.filter((path) => !others.includes(path));
  if (missing.length > 0) {
    throw new AppError(
      'model.invalid',
      `the graph keeps weights in ${missing.join(', ')}: upload and list ${missing.length === 1 ? 'it' : 'them'} too`,
      {
        details: { missing },
      },
    );
  }
  const surplus = others.filter((path) => !needed.includes(path));
  if (surplus.length > 0) {
    throw new AppError(
      'model.invalid',
      `the graph does not refer to ${surplus.join(', ')}: leave ${surplus.length === 1 ? 'it' : 'them'} out`,
      {
        details: { surplus },
      },
    );
  }
}

async function store(
  deps: RegisterModelDeps,
  model: ModelCreate,
  files: readonly ModelFile[],
  onnx: OnnxModel,
  context: ActivityContext,
): Promise<string> {
  const { name, description, tags, properties } = model;
  const resourceOf = (version: number): string =>
    `/v1/workspaces/${context.workspace}/models/${name}/versions/${String(version)}`;
  const outcome = await deps.models.register(
    context.workspace,
    { name, description, tags, properties, files, signature: onnx.signature, createdAt: toInstant(deps.clock.now()) },
    { id: context.id, resourceOf },
  );
  if (outcome.kind === 'missing-blobs') {
    throw new AppError(
      'blob.not-found',
      `${outcome.digests.join(', ')} went away meanwhile: upload and register again`,
    );
  }
  await context.log(`registered ${name}:${String(outcome.version)}`);
  return resourceOf(outcome.version);
}

function names(tensors: readonly { readonly name: string }[]): string {
  return tensors.map((tensor) => tensor.name).join(', ');
}
