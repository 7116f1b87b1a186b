/** What the protocol says of a model, the same on every face. */
import type { TensorSignature } from '../codec/tensor.js';
import type { LoadedHostedModule } from './hosted-module.js';
import type { ScoringHost } from './scoring-host.js';

/** Of the protocol: those that work, whole, over HTTP and gRPC. */
export const extensions = [
  'binary_tensor_data',
  'classification',
  'model_repository',
  'parameters',
  'schedule_policy',
  'statistics',
] as const;

export interface TensorMetadata {
  readonly name: string;
  readonly datatype: string;
  /** Free dimensions are -1. */
  readonly shape: readonly number[];
}

export interface ModelMetadata {
  readonly name: string;
  readonly versions: readonly string[];
  readonly platform: string;
  readonly inputs: readonly TensorMetadata[];
  readonly outputs: readonly TensorMetadata[];
}

/**
 * A module with user code has no tensors of its own to name: its script takes and gives what it likes.
 *
 * @param version undefined: of the newest, with all versions that are ready
 * @throws AppError `model.not-found`, `score.not-ready`
 */
export function modelMetadata(host: ScoringHost, name: string, version: string | undefined): ModelMetadata {
  const module = host.find(name, version);
  const named = version === undefined ? host.versions(name) : [module];
  return {
    name: module.name,
    versions: named
      .map((one) => one.module.version)
      .sort((a, b) => a - b)
      .map(String),
    platform: platformOf(module),
    inputs: module.signature.inputs.map(describe),
    outputs: module.signature.outputs.map(describe),
  };
}

export function platformOf(module: LoadedHostedModule): string {
  return module.script ? 'flotilla_node' : 'onnx_onnxv1';
}

/** Sizes as the protocol has them. */
export function sizesOf(shape: TensorSignature['shape']): readonly number[] {
  return shape.map((size) => (typeof size === 'string' ? -1 : size));
}

function describe({ name, datatype, shape }: TensorSignature): TensorMetadata {
  return { name, datatype, shape: sizesOf(shape) };
}
