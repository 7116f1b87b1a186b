/** The methods that have one message in and one out, by their names in the protocol. */
import { AppError } from '#shared/kernel/errors.js';
import { invalidInput } from '../codec/invalid-input.js';
import type { Datatype, TensorSignature } from '../codec/tensor.js';
import type { StatisticsSnapshot } from '../engine/statistics.js';
import { requireControlToken } from '../host/control-token.js';
import type { LoadedHostedModule } from '../host/hosted-module.js';
import { extensions, modelMetadata, platformOf, sizesOf } from '../host/model-metadata.js';
import type { ScoringHost } from '../host/scoring-host.js';
import type { GrpcCall, UnaryMethod } from './grpc-call.js';
import * as messages from './messages.js';
import { decode, encode, type MessageOf, type MessageType } from './message-type.js';
import { modelInfer, readInferMessage } from './model-infer.js';

/** What requests without tensors need at most. */
const maxPlainBytes = 64 * 1024;
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
  const find = ({ name, version }: ModelRequest): LoadedHostedModule => host.find(name, versionOf(version));
  return {
    ServerLive: method(messages.empty, messages.serverLiveResponse, () => ({ live: true })),
    // A host listens only once its modules are loaded, and stops listening before it stops answering.
    ServerReady: method(messages.empty, messages.serverReadyResponse, () => ({ ready: true })),
    ServerMetadata: method(messages.empty, messages.serverMetadataResponse, () => ({
      name: 'flotilla',
      version: host.version,
      extensions: [...extensions, 'model_configuration'],
    })),
    // As Triton has it, a model that is not here is merely not ready.
    ModelReady: method(messages.modelRequest, messages.modelReadyResponse, ({ name, version }) => ({
      ready: host.versions(name).some(({ module }) => version === '' || String(module.version) === version),
    })),
    ModelMetadata: method(messages.modelRequest, messages.modelMetadataResponse, ({ name, version }) =>
      modelMetadata(host, name, versionOf(version)),
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
      requireControlToken(host.controlToken, call.header('authorization'));
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
      requireControlToken(host.controlToken, call.header('authorization'));
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
      return { status: host.versions(service).length > 0 ? serving.SERVING : serving.NOT_SERVING };
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

interface ModelRequest {
  readonly name: string;
  readonly version: string;
}

/** Absent is empty in protobuf. */
function versionOf(version: string): string | undefined {
  return version === '' ? undefined : version;
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
    dims: sizesOf(shape),
  });
  return {
    name: module.name,
    platform: platformOf(module),
    backend: module.script ? 'node' : 'onnxruntime',
    input: module.signature.inputs.map(port),
    output: module.signature.outputs.map(port),
  };
}

function statisticsOf(host: ScoringHost, { name, version }: ModelRequest): readonly LoadedHostedModule[] {
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
