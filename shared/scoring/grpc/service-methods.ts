/** The methods that have one message in and one out, by their names in the protocol. */
import { createHash, timingSafeEqual } from 'node:crypto';
import { AppError } from '#shared/kernel/errors.js';
import { invalidInput } from '../codec/invalid-input.js';
import type { Datatype, TensorSignature } from '../codec/tensor.js';
import type { StatisticsSnapshot } from '../engine/statistics.js';
import type { LoadedHostedModule } from '../host/hosted-module.js';
import type { ScoringHost } from '../host/scoring-host.js';
import type { GrpcCall, UnaryMethod } from './grpc-call.js';
import * as messages from './messages.js';
import { decode, encode, type MessageOf, type MessageType } from './message-type.js';
import { modelInfer, readInferMessage } from './model-infer.js';

/** What requests without tensors need at most. */
const maxPlainBytes = 64 * 1024;
const extensions = ['model_repository', 'model_configuration', 'statistics', 'schedule_policy', 'parameters'];
const serving = { SERVING: 1, NOT_SERVING: 2, SERVICE_UNKNOWN: 3 } as const;

export const inferenceService = 'inference.GRPCInferenceService';
export const healthService = 'grpc.health.v1.Health';

/** Known to the protocol, and refused: by name, so that the refusal says what to do. */
const refused: Readonly<Record<string, string>> = {
  TraceSetting: 'traces are not served',
  LogSettings: 'log settings are not served: set FLOTILLA_LOG_LEVEL',
  ...Object.fromEntries(
    ['Status', 'Register', 'Unregister'].flatMap((verb) =>
      ['System', 'Cuda'].map((kind) => [
        `${kind}SharedMemory${verb}`,
        'shared memory is not served: send tensors in the request',
      ]),
    ),
  ),
};

export function inferenceMethods(host: ScoringHost): Readonly<Record<string, UnaryMethod>> {
  const find = ({ name, version }: { name: string; version: string }): LoadedHostedModule =>
    host.find(name, version === '' ? undefined : version);
  return {
    ServerLive: method(messages.empty, messages.serverLiveResponse, () => ({ live: true })),
    // A host listens only once its modules are loaded, and stops listening before it stops answering.
    ServerReady: method(messages.empty, messages.serverReadyResponse, () => ({ ready: true })),
    ServerMetadata: method(messages.empty, messages.serverMetadataResponse, () => ({
      name: 'flotilla',
      version: host.version,
      extensions,
    })),
    ModelReady: method(messages.modelRequest, messages.modelReadyResponse, (request) => ({
      ready: isReady(() => find(request)),
    })),
    ModelMetadata: method(messages.modelRequest, messages.modelMetadataResponse, (request) =>
      metadata(find(request), request.version === '' ? host.versions(request.name) : []),
    ),
    ModelConfig: method(messages.modelRequest, messages.modelConfigResponse, (request) => ({
      config: config(find(request)),
    })),
    ModelStatistics: method(messages.modelRequest, messages.modelStatisticsResponse, (request) => ({
      model_stats: statisticsOf(host, request).map((module) => statistics(module)),
    })),
    ModelInfer: async (request, call) =>
      encode(messages.modelInferResponse, await modelInfer(host, readInferMessage(host, request), call)),
    RepositoryIndex: method(messages.repositoryIndexRequest, messages.repositoryIndexResponse, ({ ready }) => ({
      models: host
        .index()
        .filter(({ state }) => !ready || state === 'READY')
        .map((entry) => ({ ...entry, version: String(entry.version) })),
    })),
    RepositoryModelLoad: method(messages.repositoryModelRequest, messages.empty, async (request, call) => {
      authorise(host, call);
      const [parameter] = request.parameters.keys();
      if (parameter !== undefined) {
        throw invalidInput(
          `parameter "${parameter}" is not taken: models are loaded from files that the host has verified`,
        );
      }
      await host.loadModel(request.model_name);
      return {};
    }),
    RepositoryModelUnload: method(messages.repositoryModelRequest, messages.empty, async (request, call) => {
      authorise(host, call);
      await host.unloadModel(request.model_name);
      return {};
    }),
    ...Object.fromEntries(Object.entries(refused).map(([name, message]) => [name, refuse(message)])),
  };
}

export function healthMethods(host: ScoringHost): Readonly<Record<string, UnaryMethod>> {
  return {
    Check: method(messages.healthCheckRequest, messages.healthCheckResponse, ({ service }) => {
      if (service === '' || service === inferenceService) return { status: serving.SERVING };
      if (!host.names.includes(service)) throw new AppError('model.not-found', `no model "${service}" here`);
      return { status: isReady(() => host.find(service)) ? serving.SERVING : serving.NOT_SERVING };
    }),
  };
}

function method<In, Out>(
  requestType: MessageType<In>,
  responseType: MessageType<Out>,
  answer: (request: In, call: GrpcCall) => Partial<Out> | Promise<Partial<Out>>,
): UnaryMethod {
  return async (request, call) => encode(responseType, await answer(decode(requestType, request, maxPlainBytes), call));
}

function refuse(message: string): UnaryMethod {
  return () => Promise.reject(new AppError('module.not-yet', message));
}

function isReady(find: () => LoadedHostedModule): boolean {
  try {
    find();
    return true;
  } catch (error) {
    if (error instanceof AppError && error.code === 'score.not-ready') return false;
    throw error;
  }
}

/** @throws AppError `auth.forbidden` where nobody may, `auth.missing`, `auth.invalid` */
function authorise(host: ScoringHost, call: GrpcCall): void {
  const { controlToken } = host;
  if (controlToken === undefined) {
    throw new AppError('auth.forbidden', 'this host has no control token: nobody may load or unload over the network');
  }
  const given = /^Bearer +(\S+)$/i.exec(call.header('authorization') ?? '')?.[1];
  if (given === undefined) {
    throw new AppError('auth.missing', 'loading and unloading need the metadata "authorization: Bearer" and a token');
  }
  if (!timingSafeEqual(digest(given), digest(controlToken))) {
    throw new AppError('auth.invalid', 'the control token is not this host’s');
  }
}

/** Equal lengths for the comparison, whatever was given. */
function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}

/** @param all versions of it, where none was asked for */
function metadata(
  module: LoadedHostedModule,
  all: readonly LoadedHostedModule[],
): Partial<MessageOf<typeof messages.modelMetadataResponse>> {
  return {
    name: module.name,
    versions: (all.length === 0 ? [module] : all).map((one) => String(one.module.version)).reverse(),
    platform: platformOf(module),
    inputs: module.signature.inputs.map(describe),
    outputs: module.signature.outputs.map(describe),
  };
}

function platformOf(module: LoadedHostedModule): string {
  return module.script ? 'flotilla_node' : 'onnx_onnxv1';
}

function describe({ name, datatype, shape }: TensorSignature): Partial<MessageOf<typeof messages.tensorMetadata>> {
  return { name, datatype, shape: lengths(shape) };
}

function lengths(shape: TensorSignature['shape']): readonly number[] {
  return shape.map((dimension) => (typeof dimension === 'string' ? -1 : dimension));
}

const dataTypes: { readonly [D in Datatype]: number } = {
  BOOL: 1,
  UINT8: 2,
  UINT16: 3,
  UINT32: 4,
  UINT64: 5,
  INT8: 6,
  INT16: 7,
  INT32: 8,
  INT64: 9,
  FP16: 10,
  FP32: 11,
  FP64: 12,
  BYTES: 13,
};

/** `max_batch_size` 0: shapes are whole, as the graph has them, and rows are put together without being asked. */
function config(module: LoadedHostedModule): Partial<MessageOf<typeof messages.modelConfig>> {
  const port = ({ name, datatype, shape }: TensorSignature) => ({
    name,
    data_type: dataTypes[datatype],
    dims: lengths(shape),
  });
  return {
    name: module.name,
    platform: platformOf(module),
    backend: module.script ? 'node' : 'onnxruntime',
    input: module.signature.inputs.map(port),
    output: module.signature.outputs.map(port),
  };
}

function statisticsOf(
  host: ScoringHost,
  { name, version }: { name: string; version: string },
): readonly LoadedHostedModule[] {
  if (name === '') return host.all;
  return version === '' ? [host.find(name), ...host.versions(name).slice(1)] : [host.find(name, version)];
}

function statistics(module: LoadedHostedModule): Partial<MessageOf<typeof messages.modelStatistics>> {
  const taken: StatisticsSnapshot = module.statistics.snapshot();
  return {
    name: module.name,
    version: String(module.module.version),
    last_inference: taken.lastInferenceAtMs,
    inference_count: taken.rows,
    execution_count: taken.executions,
    inference_stats: {
      success: taken.success,
      fail: taken.fail,
      queue: taken.queue,
      compute_input: taken.computeInput,
      compute_infer: taken.computeInfer,
      compute_output: taken.computeOutput,
      cache_hit: taken.cacheHit,
      cache_miss: taken.cacheMiss,
    },
    batch_stats: taken.batches.map(({ rows, computeInput, computeInfer, computeOutput }) => ({
      batch_size: rows,
      compute_input: computeInput,
      compute_infer: computeInfer,
      compute_output: computeOutput,
    })),
  };
}
