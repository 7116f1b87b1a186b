/** One version of one module, verified and unpacked, with all that its hosts must be told. */
import { instancesOf, type ModuleManifest, scoringOptionsOf } from '#shared/package/module-manifest.js';
import { portsOf } from '#shared/package/routes/module-ports.js';
import type { SandboxNeeds } from '#shared/package/sandbox-options.js';
import type { HostedModule, ScriptConfig } from '#shared/scoring/host-protocol.js';

export interface ServedModule {
  /** Whatever has the same id is the same to its hosts: one script process may serve both. */
  readonly id: string;
  readonly name: string;
  readonly version: number;
  /** Of its image. */
  readonly digest: string;
  readonly folder: string;
  readonly manifest: ModuleManifest;
  /** What its script gets. */
  readonly settings: Readonly<Record<string, unknown>>;
  /** Names of modules whose scripts answer before its own starts. */
  readonly startAfter?: readonly string[];
  /** For a shadow without user code: where it answers copies. */
  readonly copiesSocket?: string;
}

export function hasScript({ manifest }: Pick<ServedModule, 'manifest'>): boolean {
  return manifest.flavor === 'node';
}

export function scriptNeedsOf({ manifest }: ServedModule): SandboxNeeds {
  return manifest.flavor === 'node' ? manifest : {};
}

/**
 * @param cores what this machine lets hosts use
 * @param script where its script answers, and where the script asks for its models
 */
export function hostedModuleOf(
  module: ServedModule,
  cores: number,
  script: { readonly scriptSocket: string; readonly modelsSocket: string } | undefined,
): HostedModule {
  const { name, version, digest, folder, manifest, copiesSocket } = module;
  return {
    name,
    version,
    digest,
    folder,
    models: manifest.models,
    accelerators: manifest.accelerators,
    instances: instancesOf(manifest, cores),
    scoring: scoringOptionsOf(manifest),
    ...(manifest.golden === undefined ? {} : { golden: manifest.golden }),
    ...script,
    ...(copiesSocket === undefined ? {} : { copiesSocket }),
  };
}

export function scriptConfigOf(
  module: ServedModule,
  modelsSocket: string,
  maxBodyBytes: number,
): ScriptConfig | undefined {
  const { name, version, digest, folder, manifest, settings } = module;
  if (manifest.flavor !== 'node') return undefined;
  return {
    name,
    version,
    digest,
    folder,
    entry: manifest.entry,
    models: manifest.models.map((model) => model.name),
    settings,
    modelsSocket,
    maxBodyBytes,
    ...portsOf(manifest),
  };
}
