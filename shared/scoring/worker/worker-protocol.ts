/** What a scoring host's front and its worker threads say to each other. Bodies travel as bytes, transferred. */
import type { Problem } from '#shared/kernel/errors.js';
import type { ModelSignature } from '../codec/tensor.js';

export interface WorkerModel {
  readonly name: string;
  /** Absolute path of the ONNX file. */
  readonly path: string;
}

export interface WorkerConfig {
  readonly models: readonly WorkerModel[];
  /** Execution providers in order of preference. */
  readonly accelerators: readonly string[];
}

/** How the bytes of a request are to be read. */
export type BodyForm =
  /** A V2 request. */
  | 'infer'
  /** `/score`: a V2 request or the plain form, answered in kind. */
  | 'score';

export interface RunRequest {
  readonly type: 'run';
  readonly id: number;
  readonly model: string;
  /** What the answer calls the model: the module's name and version. */
  readonly answerName: string;
  readonly answerVersion: string;
  readonly form: BodyForm;
  /** Transferred; the body lies at `start`. */
  readonly buffer: ArrayBuffer;
  readonly start: number;
  readonly length: number;
  readonly jsonLength: number | undefined;
}

export type ToWorker = RunRequest | { readonly type: 'close' };

export interface LoadedWorkerModel {
  readonly name: string;
  readonly signature: ModelSignature;
  readonly provider: string;
  readonly fallbacks: readonly { readonly provider: string; readonly reason: string }[];
  /** Nodes of the graph by the provider that ran them in a first run; absent on `cpu` alone, or unknown. */
  readonly nodes?: Readonly<Record<string, number>>;
}

export type FromWorker =
  | { readonly type: 'loaded'; readonly models: readonly LoadedWorkerModel[] }
  | { readonly type: 'load-failed'; readonly problem: Problem }
  | {
      readonly type: 'answer';
      readonly id: number;
      readonly body: Uint8Array<ArrayBuffer>;
      readonly jsonLength?: number;
    }
  | { readonly type: 'refused'; readonly id: number; readonly problem: Problem };
