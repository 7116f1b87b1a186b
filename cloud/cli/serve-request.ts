/** What `flotilla serve` was asked for, and what it tells while it runs. */
import type { HostAccess } from '#shared/scoring/access/host-access.js';
import type { ModuleManifest } from '#shared/package/module-manifest.js';
import type { LoadedModule } from '#shared/scoring/host-protocol.js';

export interface ServeRequest {
  /** Folders of modules, and ONNX files. */
  readonly sources: readonly string[];
  /** An IP address. */
  readonly host: string;
  readonly port: number;
  /** Undefined: gRPC is not served. */
  readonly grpcPort: number | undefined;
  readonly instances: ModuleManifest['instances'] | undefined;
  /** Of who may load and unload; undefined: nobody may. */
  readonly controlToken: string | undefined;
  readonly access: HostAccess;
  /** Prove golden vectors before anything is served. */
  readonly golden: boolean;
  /** As the flags have them: versions are known once the modules are. */
  readonly traffic: readonly string[];
  readonly shadow: readonly string[];
  /** Folder for what modules sample; undefined: nothing is kept. */
  readonly capture: string | undefined;
  readonly watch: boolean;
}

export interface ServedModuleReport {
  readonly name: string;
  readonly version: number;
  readonly flavor: ModuleManifest['flavor'];
  readonly digest: string;
  readonly source: string;
  readonly instances: number;
  /** What the host says of it: the provider that runs it, and why an earlier preference does not. */
  readonly loaded: LoadedModule | undefined;
  /** Golden vectors that agreed. */
  readonly proved: number | undefined;
  /** A file with a request that it can answer. */
  readonly example: string | undefined;
}

export interface ServeReady {
  readonly version: string;
  readonly address: string;
  readonly port: number;
  readonly url: string;
  /** Host and port of gRPC, where it is served. */
  readonly grpc: string | undefined;
  /** Who may ask. */
  readonly mode: HostAccess['mode'];
  readonly modules: readonly ServedModuleReport[];
}

export interface ServeEvents {
  onReady(ready: ServeReady): void;
  /** The sources changed, and what they are now is served. */
  onReloaded(modules: readonly ServedModuleReport[]): void;
  /** What a person should know of, and a line of a host's log. */
  onNote(text: string): void;
}
