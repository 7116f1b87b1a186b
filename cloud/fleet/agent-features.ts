/** What agents understand beyond what each does: one that is asked for more refuses the whole document. */
import { sql } from 'kysely';
import { AppError } from '#shared/kernel/errors.js';
import { parseReference } from '#shared/kernel/names.js';
import type { AgentFeature } from '#shared/protocol/features.js';
import { reportedStateSchema } from '#shared/protocol/reported.js';
import type { DeviceAddress } from '#shared/protocol/topics.js';
import { type Database, DeviceRepository } from './device-repository.js';

/** As an error names it. */
const words: Readonly<Record<AgentFeature, string>> = {
  shadow: 'shadows',
  startAfter: 'startAfter, the order in which modules start',
  variants: 'images with variants',
  collect: 'data collection',
};

/** @returns undefined where the device has not said yet what its agent is */
export function knowsFeature(reportedJson: string, feature: AgentFeature): boolean | undefined {
  const { capabilities } = reportedStateSchema.parse(JSON.parse(reportedJson));
  return capabilities && (capabilities.features ?? []).includes(feature);
}

/** @throws AppError `device.unsupported` */
export async function requireFeature(
  transaction: Database,
  address: DeviceAddress,
  feature: AgentFeature,
): Promise<void> {
  const device = await new DeviceRepository(transaction).find(address);
  if (device === undefined || knowsFeature(device.reportedJson, feature) !== false) return;
  throw new AppError(
    'device.unsupported',
    `the agent of ${address.device} does not know ${words[feature]}, and would refuse all that it is asked: upgrade it`,
    { details: { feature } },
  );
}

/** What a release asks of agents. @param release as name:version */
export async function featuresOf(db: Database, workspace: string, release: string): Promise<AgentFeature[]> {
  const { name = '', version = 0 } = parseReference(release) ?? {};
  const rows = await db
    .selectFrom('releaseModules as r')
    .innerJoin('images as i', (join) =>
      join.onRef('i.workspace', '=', 'r.workspace').onRef('i.digest', '=', 'r.imageDigest'),
    )
    .select(['i.flavor', 'r.startAfterJson'])
    .where('r.workspace', '=', workspace)
    .where('r.name', '=', name)
    .where('r.version', '=', version)
    .execute();
  return [
    ...(rows.some(({ startAfterJson }) => startAfterJson !== '[]') ? ['startAfter' as const] : []),
    ...(rows.some(({ flavor }) => flavor === 'index') ? ['variants' as const] : []),
  ];
}

/** Devices that said what their agent is, which does not know it; by name. */
export async function devicesWithout(db: Database, workspace: string, feature: AgentFeature): Promise<string[]> {
  const rows = await db
    .selectFrom('devices')
    .select('name')
    .where('workspace', '=', workspace)
    .where('retiredAt', 'is', null)
    .where(sql<boolean>`json_type(reportedJson, '$.capabilities') is not null`)
    .where(
      sql<boolean>`not exists (select 1 from json_each(devices.reportedJson, '$.capabilities.features') as f
        where f.value = ${feature})`,
    )
    .orderBy('name')
    .execute();
  return rows.map(({ name }) => name);
}
