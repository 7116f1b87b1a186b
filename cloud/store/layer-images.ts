/** Which layers, and what lies below those of which devices, name an image: until then it must not go. */
import type { Transaction } from 'kysely';
import type { ControlDatabase } from './tables.js';

export async function layersWith(
  db: Transaction<ControlDatabase>,
  workspace: string,
  digest: string,
): Promise<{ readonly layers: string[]; readonly devices: string[] }> {
  const named = `%"${digest}"%`;
  const layers = await db
    .selectFrom('layers as l')
    .innerJoin('layerVersions as v', (join) =>
      join.onRef('v.workspace', '=', 'l.workspace').onRef('v.name', '=', 'l.name').onRef('v.version', '=', 'l.version'),
    )
    .select('l.name')
    .where('l.workspace', '=', workspace)
    .where('v.modulesJson', 'like', named)
    .orderBy('l.name')
    .execute();
  // Also what another layer covers: it comes back when that one goes.
  const below = await db
    .selectFrom('deviceBases')
    .select('device')
    .where('workspace', '=', workspace)
    .where('modulesJson', 'like', named)
    .execute();
  const held = await db
    .selectFrom('deviceLayers as d')
    .innerJoin('layerVersions as v', (join) =>
      join
        .onRef('v.workspace', '=', 'd.workspace')
        .onRef('v.name', '=', 'd.layer')
        .onRef('v.version', '=', 'd.version'),
    )
    .select('d.device')
    .where('d.workspace', '=', workspace)
    .where('v.modulesJson', 'like', named)
    .execute();
  const devices = [...new Set([...below, ...held].map(({ device }) => device))].sort();
  return { layers: layers.map(({ name }) => name), devices };
}
