/** Tells routes which modules answer, as that changes. */
import type { ModuleManifest } from '#shared/package/module-manifest.js';
import { canonicalJson } from '#shared/protocol/canonical-json.js';
import type { Emission } from '#shared/scoring/host-protocol.js';
import type { KnownVersions } from '#agent/actions/versions.js';
import type { DeviceState } from '#agent/reconcile/device-state.js';
import type { ImageStore } from '#agent/store/image-store.js';
import type { ActiveModule } from './plan.js';
import type { Routes } from './routes.js';

export interface FollowPorts {
  readonly state: DeviceState;
  readonly versions: KnownVersions;
  readonly images: ImageStore;
  readonly routes: Routes;
  readonly onError: (error: unknown) => void;
}

/**
 * While the host is being started again, routes stay as they were. At the first start they wait until the modules
 * are verified, which is when their host runs.
 */
export function followActive({ state, versions, images, routes, onError }: FollowPorts): void {
  let before = '';
  let turn: Promise<void> = Promise.resolve();
  let manifests: readonly (readonly [string, ModuleManifest])[] = [];
  const look = async (): Promise<void> => {
    const { set, host } = state.observed.serving;
    if (host.state !== 'running' && Object.keys(set).length > 0) return;
    const modules = Object.entries(set).flatMap(([name, key]) => {
      const desired = versions.find(name, key);
      return desired === undefined ? [] : [{ name, digest: desired.image.digest, overrides: desired.routes }];
    });
    const now = canonicalJson(modules);
    if (now === before) return;
    const active: ActiveModule[] = [];
    const read: (readonly [string, ModuleManifest])[] = [];
    for (const { name, digest, overrides } of modules) {
      const known = manifests.find(([of]) => of === digest)?.[1];
      const manifest = known ?? (await images.readModule(digest));
      read.push([digest, manifest]);
      active.push({ name, manifest, overrides });
    }
    manifests = read;
    before = now;
    routes.apply(active);
  };
  state.onChange(() => {
    turn = turn.then(look).catch(onError);
  });
}

export function takeEmission(routes: Routes, module: string, emission: Emission): void {
  if (emission.type === 'emit-lost') {
    routes.lostBefore(module, emission.output, emission.reason, emission.count);
    return;
  }
  const { output, bytes, json, source } = emission;
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  routes.emitted(module, output, { bytes: buffer, json, source });
}
