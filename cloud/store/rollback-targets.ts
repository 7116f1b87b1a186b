/** Which devices the rollout that changed them last can lead back to an image: until then it must not go. */
import type { Transaction } from 'kysely';
import { sql } from 'kysely';
import type { ControlDatabase } from './tables.js';

/**
 * Of a rollout under way all its devices; of one that is over those that still have what it brought, and are in no
 * newer one. What was led back, or changed by hand since, holds nothing.
 */
export async function devicesLedBackTo(
  db: Transaction<ControlDatabase>,
  workspace: string,
  digest: string,
): Promise<string[]> {
  const rows = await db
    .selectFrom('rolloutDevices as r')
    .innerJoin('rollouts as o', (join) =>
      join.onRef('o.workspace', '=', 'r.workspace').onRef('o.number', '=', 'r.rollout'),
    )
    .innerJoin('devices as d', (join) => join.onRef('d.workspace', '=', 'r.workspace').onRef('d.name', '=', 'r.device'))
    .select('r.device')
    .distinct()
    .where('r.workspace', '=', workspace)
    .where('r.previousJson', 'like', `%"${digest}"%`)
    .where((where) =>
      where.or([
        where('r.claimed', '=', 1),
        where.and([
          where('o.state', 'not in', ['rolled-back', 'superseded']),
          where('r.standing', 'in', ['succeeded', 'failed', 'unreachable']),
          where('r.generation', 'is not', null),
          where('d.retiredAt', 'is', null),
          where('d.desiredRelease', '=', where.ref('r.askedRelease')),
          sql<boolean>`not exists (select 1 from rolloutDevices n where n.workspace = r.workspace
            and n.device = r.device and n.rollout > r.rollout and n.generation is not null)`,
        ]),
      ]),
    )
    .orderBy('r.device')
    .execute();
  return rows.map(({ device }) => device);
}
