/** One version of one module, with all that its hosts must be told. */
import type { DesiredModule } from '#shared/protocol/desired.js';
import type { ModuleManifest } from '#shared/package/module-manifest.js';
import type { HostedModule, ScriptConfig } from '#shared/scoring/host-protocol.js';
import type { VersionKey } from '#agent/reconcile/observed.js';

export interface ModuleVersion {
  readonly name: string;
  readonly key: VersionKey;
  readonly desired: DesiredModule;
  readonly manifest: ModuleManifest;
  readonly folder: string;
}

export function hasScript(version: ModuleVersion): boolean {
  return version.manifest.flavor === 'node';
}

export function hostedModuleOf(version: ModuleVersion, scriptSocket: string | undefined): HostedModule {
  const { name, desired, manifest, folder } = version;
  return {
    name,
    version: desired.image.version,
    digest: desired.image.digest,
    folder,
    models: manifest.models,
    accelerators: manifest.accelerators,
    instances: manifest.instances,
    ...(manifest.golden === undefined ? {} : { golden: manifest.golden }),
    ...(scriptSocket === undefined ? {} : { scriptSocket }),
  };
}

export function scriptConfigOf(
  version: ModuleVersion,
  socket: string,
  modelsSocket: string,
  maxBodyBytes: number,
): ScriptConfig | undefined {
  const { name, desired, manifest, folder } = version;
  if (manifest.flavor !== 'node') return undefined;
  return {
    name,
    version: desired.image.version,
    digest: desired.image.digest,
    folder,
    entry: manifest.entry,
    models: manifest.models.map((model) => model.name),
    settings: desired.settings,
    socket,
    modelsSocket,
    maxBodyBytes,
  };
}
