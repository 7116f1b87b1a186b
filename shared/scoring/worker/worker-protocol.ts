/** What a scoring host's front and its worker threads say to each other. Bodies travel as bytes, transferred. */
import type { Problem } from '#shared/kernel/errors.js';
import type { ScoringOptions } from '#shared/package/scoring-options.js';
import type { ModelSignature } from '../codec/tensor.js';
import type { RunTimes } from '../engine/statistics.js';
import type { SeenTensors } from './tensor-watch.js';

export interface WorkerModel {
  readonly name: string;
  /** Absolute path of the ONNX file. */
  readonly path: string;
  /** Where they are known from another worker; absent: the model is tried. */
  readonly traits?: ModelTraits;
}

export interface WorkerConfig {
  readonly models: readonly WorkerModel[];
  /** Execution providers in order of preference. */
  readonly accelerators: readonly string[];
  readonly scoring: ScoringOptions;
}

/** How the bytes of a request are to be read. */
export type BodyForm =
  /** A V2 request. */
  | 'infer'
  /** `/score`: a V2 request or the plain form, answered in kind. */
  | 'score'
  /** `:predict` of the V1 protocol. */
  | 'predict';

export interface BodyRequest {
  readonly form: BodyForm;
  /** Transferred; the body lies at `start`. */
  readonly buffer: ArrayBuffer;
  readonly start: number;
  readonly length: number;
  readonly jsonLength: number | undefined;
}

/** What an answer calls the model: the module's name and version, or the name inside a module with a script. */
export interface ModelIdentity {
  readonly answerName: string;
  readonly answerVersion: string;
}

export interface GroupRequest {
  readonly type: 'run';
  readonly id: number;
  readonly model: string;
  readonly identity: ModelIdentity;
  readonly requests: readonly BodyRequest[];
}

/** `load` comes first, and once. */
export type ToWorker =
  | { readonly type: 'load'; readonly config: WorkerConfig }
  | GroupRequest
  | { readonly type: 'close' };

/** What was found out about a model when it was loaded (`model-trial.ts`). */
export interface ModelTraits {
  /** Rows that are run together at most; 0: never joined, and why. */
  readonly maxBatchRows: number;
  readonly batchingReason: string;
  /** The fastest of a few runs on made-up inputs, in milliseconds; undefined when none worked. */
  readonly runMs: number | undefined;
}

export interface LoadedWorkerModel {
  readonly name: string;
  readonly signature: ModelSignature;
  readonly provider: string;
  readonly fallbacks: readonly { readonly provider: string; readonly reason: string }[];
  readonly traits: ModelTraits;
  /** Nodes of the graph by the provider that ran them in a first run; absent on `cpu` alone, or unknown. */
  readonly nodes?: Readonly<Record<string, number>>;
}

export type WorkerAnswer =
  | { readonly body: Uint8Array<ArrayBuffer>; readonly jsonLength?: number }
  | { readonly problem: Problem };

export type FromWorker =
  | { readonly type: 'loaded'; readonly models: readonly LoadedWorkerModel[] }
  | { readonly type: 'load-failed'; readonly problem: Problem }
  | {
      readonly type: 'ran';
      readonly id: number;
      readonly answers: readonly WorkerAnswer[];
      readonly runs: readonly RunTimes[];
      readonly seen: SeenTensors | undefined;
      /** Memory of large bodies, given back. */
      readonly spent: readonly ArrayBuffer[];
    };
