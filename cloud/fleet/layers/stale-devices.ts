/** Devices whose layers are not what they would be after a release was deployed to them. */
import type { Database } from '../device-repository.js';
import { matchingDevices } from '../device-search.js';
import { DeviceLayers } from './device-layers.js';
import { LayerRepository } from './layer-repository.js';
import { type LayerRef, sameLayers } from './take.js';

export async function devicesWithStaleLayers(db: Database, workspace: string): Promise<ReadonlySet<string>> {
  const has = await new DeviceLayers(db).all(workspace);
  const wanted = new Map<string, LayerRef[]>();
  for (const { name, version, query } of await new LayerRepository(db).list(workspace)) {
    for (const row of await matchingDevices(db, workspace, query).select('devices.name').execute()) {
      wanted.set(row.name, [...(wanted.get(row.name) ?? []), { name, version }]);
    }
  }
  const devices = [...new Set([...has.keys(), ...wanted.keys()])];
  return new Set(devices.filter((device) => !sameLayers(has.get(device) ?? [], wanted.get(device) ?? [])));
}

/** Of what layers put on devices now. */
export async function layerDigests(db: Database, workspace: string): Promise<string[]> {
  const layers = await new LayerRepository(db).list(workspace);
  return layers.flatMap(({ modules }) => Object.values(modules).flatMap(({ image }) => (image ? [image.digest] : [])));
}
