/** One version of one module, as the device was told to run it. */
import type { DesiredModule } from '#shared/protocol/desired.js';
import type { ModuleManifest } from '#shared/package/module-manifest.js';
import type { ServedModule } from '#shared/supervisor/served-module.js';
import type { VersionKey } from '#agent/reconcile/observed.js';

export interface ModuleVersion {
  readonly name: string;
  readonly key: VersionKey;
  readonly desired: DesiredModule;
  readonly manifest: ModuleManifest;
  readonly folder: string;
}

export function servedModuleOf({ name, key, desired, manifest, folder }: ModuleVersion): ServedModule {
  const { version, digest } = desired.image;
  const { settings, startAfter = [] } = desired;
  return { id: `${name} ${key}`, name, version, digest, folder, manifest, settings, startAfter };
}
