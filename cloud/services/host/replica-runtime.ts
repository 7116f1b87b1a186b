/** What runs replicas: processes of this machine, or containers. */
import type { Problem } from '#shared/kernel/errors.js';
import type { ModuleMetrics } from '#shared/protocol/stream.js';
import type { ModuleManifest } from '#shared/package/module-manifest.js';
import type { DesiredDeployment } from '../desired-services.js';
import type { ReplicaAddress } from '../front/front-table.js';

/** An image that was verified and unpacked. */
export interface ReadyImage {
  readonly folder: string;
  readonly manifest: ModuleManifest;
}

export interface ReplicaOrder {
  /** Unique among all that this service host starts; short, and fit for a file's name. */
  readonly id: string;
  readonly image: ReadyImage;
  readonly spec: DesiredDeployment;
  /** Provenance: every answer carries it as `flotilla-*` headers. */
  readonly labels: Readonly<Record<string, string>>;
  /** `HostConfig.collectFolder` of its scoring host, which reads and writes there. A runtime that shows it another path tells it that one. */
  readonly collectFolder: string;
  readonly onLog: (line: string) => void;
  /** Aborted: the start is given up, and what was started for it ends. */
  readonly signal: AbortSignal;
}

export interface RunningReplica {
  readonly address: ReplicaAddress;
  /** For people: `process 4711`, `container 1a2b3c4d5e6f (podman)`. */
  readonly process: string;
  /** Resolves once, when it has ended, whoever ended it. */
  readonly exited: Promise<Problem>;
  /** Of all its processes; undefined where that cannot be told. */
  residentBytes(): Promise<number | undefined>;
  /**
   * What its scoring host counted since this was last asked, each count once: plain JSON, which `moduleMetricsSchema`
   * takes. It is not asked again before it has answered. Undefined where the host is gone.
   */
  takeMetrics(): Promise<ModuleMetrics | undefined>;
  /**
   * Answers what is under way and ends; ended by force after the time.
   *
   * @returns what it counted since it was last asked; undefined where it could not tell any more
   */
  drain(timeoutMs: number): Promise<ModuleMetrics | undefined>;
  kill(): Promise<void>;
}

export interface ReplicaRuntime {
  /**
   * Resolves once its model is loaded, its golden vectors agree, and it answers at its address.
   *
   * @throws AppError why it does not start; nothing of it is left then
   */
  start(order: ReplicaOrder): Promise<RunningReplica>;
  /** Ends and removes what a service host that was killed left behind; before the first start. */
  clear(): Promise<void>;
  /** What it made of modules is removed, but for these: digests of their images. No start is under way. */
  collect(keep: readonly string[]): Promise<void>;
}
