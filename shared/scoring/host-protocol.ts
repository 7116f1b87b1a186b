/**
 * What the owner of a host process (the agent, later the control plane) and the process say to each
 * other over the child's IPC channel. Both ends are the same build, so these are types, not schemas.
 */
import type { Problem } from '#shared/kernel/errors.js';
import type { ScoringOptions } from '#shared/package/scoring-options.js';
import type { EncodedSketch } from '#shared/protocol/sketch.js';
import type { StageLatency, TensorSummaries } from '#shared/protocol/stream.js';
import type { HostAccess } from './access/host-access.js';
import type { BodyPace } from './body-pace.js';
import type { OutsideStats, ShadowStats } from './traffic/shadow-counts.js';
import type { HostTraffic } from './traffic/traffic-schema.js';

/** A module as a scoring host serves it. */
export interface HostedModule {
  readonly name: string;
  readonly version: number;
  /** Digest of the image. */
  readonly digest: string;
  /** Absolute path of the verified, unpacked module. */
  readonly folder: string;
  /** The module's ONNX models: name and file relative to `folder`. */
  readonly models: readonly { readonly name: string; readonly file: string }[];
  /** Execution providers in order of preference. */
  readonly accelerators: readonly string[];
  readonly instances: number;
  /** Absent: the defaults. */
  readonly scoring?: ScoringOptions;
  /** Golden vectors, relative to `folder`. */
  readonly golden?: {
    readonly file: string;
    readonly tolerance: { readonly absolute: number; readonly relative: number };
    readonly maxLatencyMs?: number | undefined;
  };
  /** For a module with user code: the Unix socket of its script host, which answers its requests. */
  readonly scriptSocket?: string;
  /** The Unix socket on which that script reaches this module's models, and no other's. */
  readonly modelsSocket?: string;
  /** The Unix socket on which this module answers copies of what another host is asked; without user code only. */
  readonly copiesSocket?: string;
}

export interface HostConfig {
  readonly modules: readonly HostedModule[];
  /** Provenance that every answer carries as `flotilla-*` headers, for example generation, boot-id. */
  readonly labels: Readonly<Record<string, string>>;
  readonly maxBodyBytes: number;
  /** How slowly a body may come; absent: `defaultPace`. */
  readonly bodyPace?: BodyPace;
  /** Bearer token of who may load and unload models over HTTP; absent: nobody may. */
  readonly controlToken?: string;
  /** Who may ask at all; absent: `loopbackAccess`. */
  readonly access?: HostAccess;
  /** How requests without a version are spread, by name of the module; absent: to the newest version. */
  readonly traffic?: HostTraffic;
  /** Folder for sampled requests and answers of modules that ask for it; absent: none are kept. */
  readonly captureFolder?: string;
  /** Folder where the owner says what is to be collected (`rules.json`), and takes pieces of it; absent: nothing is. */
  readonly collectFolder?: string;
  /** Unix socket of whoever takes what is posted to routes; absent: nobody does. */
  readonly routesSocket?: string;
}

export type ToScoringHost =
  | { readonly type: 'load'; readonly config: HostConfig }
  /** Runs the golden vectors of the module, of every version unless told, through the path of live requests. */
  | { readonly type: 'prove'; readonly module: string; readonly version?: number | undefined }
  /** Comes with the bound, unaccepted TCP handle. */
  | { readonly type: 'listen' }
  /** The same for gRPC, with a handle of its own. */
  | { readonly type: 'listen-grpc' }
  /** Stop accepting, finish what is under way, send the stats, and stay loaded: `listen` goes on. */
  | { readonly type: 'pause' }
  /** Finish what is under way, send the last stats, exit 0. */
  | { readonly type: 'drain' }
  | { readonly type: 'stats' }
  /** Whether its loop still turns. */
  | { readonly type: 'ping' }
  /** In force, of streams that are open too, when `access-set` comes. */
  | { readonly type: 'access'; readonly access: HostAccess }
  | { readonly type: 'labels'; readonly labels: Readonly<Record<string, string>> }
  /** Replaces all traffic rules at once, or, where they cannot be kept, none. */
  | { readonly type: 'traffic'; readonly traffic: HostTraffic };

export interface LoadedModule {
  readonly name: string;
  /** What really runs the model, and why an earlier preference does not. */
  readonly provider: string;
  readonly fallbacks: readonly { readonly provider: string; readonly reason: string }[];
  readonly models: readonly {
    readonly name: string;
    readonly provider: string;
    /** What it really ran on: nodes by provider, where a first run told. */
    readonly nodes?: Readonly<Record<string, number>>;
    /** Small requests run on the thread that accepts them. */
    readonly inline: boolean;
    /** Rows of several requests that one run takes at most; 0: never joined, for this reason. */
    readonly maxBatchRows: number;
    readonly batchingReason: string;
  }[];
}

/** Counts of one version of one module since the last stats of this process. */
export interface HostModuleStats {
  readonly name: string;
  readonly digest: string;
  readonly version: number;
  readonly provider: string;
  readonly requests: number;
  readonly errors: Readonly<Record<string, number>>;
  readonly latencyMs: EncodedSketch;
  /** Where its models' time went, and what the manifest asks to be summarised of their tensors. */
  readonly stages?: StageLatency;
  readonly tensors?: TensorSummaries;
  /** Of a version that copies of live requests go to: how its answers compare. */
  readonly shadow?: ShadowStats;
  /** Of a version whose requests are copied to one in other processes: how that one's answers compare. */
  readonly mirrored?: OutsideStats;
}

export type FromScoringHost =
  | { readonly type: 'loaded'; readonly modules: readonly LoadedModule[] }
  | { readonly type: 'load-failed'; readonly module: string; readonly problem: Problem }
  | {
      readonly type: 'proved';
      readonly module: string;
      /** As it was asked for. */
      readonly version?: number | undefined;
      readonly vectors: number;
      /** The slowest vector, the best of a few runs each; none without vectors. */
      readonly slowestMs?: number;
      /** By which loading and proving the module made this process grow, at least. */
      readonly memoryBytes?: number;
      /** Absent when every vector agreed. `retry: later` codes are worth another try. */
      readonly problem?: Problem;
    }
  | { readonly type: 'pong' }
  | { readonly type: 'paused'; readonly modules: readonly HostModuleStats[]; readonly rssBytes: number }
  | { readonly type: 'access-set' }
  | { readonly type: 'listening' }
  | { readonly type: 'listening-grpc' }
  /** Somebody else listens on the handle's address. */
  | { readonly type: 'listen-failed'; readonly problem: Problem }
  /** What became of a change of traffic; without a problem it is in force. */
  | { readonly type: 'traffic-set'; readonly problem?: Problem }
  | { readonly type: 'stats'; readonly modules: readonly HostModuleStats[]; readonly rssBytes: number };

/** A module with user code, as its own process runs it. */
export interface ScriptConfig {
  readonly name: string;
  readonly version: number;
  readonly digest: string;
  readonly folder: string;
  /** The bundled script, relative to `folder`. */
  readonly entry: string;
  readonly models: readonly string[];
  readonly settings: Readonly<Record<string, unknown>>;
  /** Where the scoring host answers for the module's models. */
  readonly modelsSocket: string;
  readonly maxBodyBytes: number;
  /** What routes bring data to, and what the script may emit to; absent: those that every module has. */
  readonly inputs?: readonly string[];
  readonly outputs?: readonly string[];
}

export type ToScriptHost =
  /** Comes with the bound, unaccepted handle of the Unix socket that it answers on. */
  | { readonly type: 'start'; readonly config: ScriptConfig }
  /** Models are reached here from now on: the scoring host was replaced. */
  | { readonly type: 'models'; readonly socket: string }
  /** Whether its loop still turns. */
  | { readonly type: 'ping' }
  | { readonly type: 'drain' };

export type FromScriptHost =
  | { readonly type: 'ready' }
  | { readonly type: 'pong' }
  | { readonly type: 'start-failed'; readonly problem: Problem }
  /** The script asks not to be replaced for so long from now; 0: it may be. */
  | { readonly type: 'defer'; readonly forMs: number; readonly reason: string }
  /** A value for an output: JSON text, or bytes. */
  | {
      readonly type: 'emit';
      readonly output: string;
      readonly bytes: Uint8Array;
      readonly json: boolean;
      /** What the request came from that it was emitted in. */
      readonly source?: string;
    }
  /** Values that were not sent. */
  | {
      readonly type: 'emit-lost';
      readonly output: string;
      readonly reason: 'full' | 'too-large';
      readonly count: number;
    };

/** What a script gave to an output, or lost on the way. */
export type Emission = Extract<FromScriptHost, { readonly type: 'emit' | 'emit-lost' }>;
