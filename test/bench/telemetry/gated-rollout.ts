/** A rollout over a whole fleet whose canary wave has the release, and whose gates never have enough to decide. */
import { sql } from 'kysely';
import { toInstant } from '#shared/kernel/clock.js';
import { parseQuery } from '#cloud/fleet/query/parse-query.js';
import { rolloutPolicySchema } from '#cloud/rollout/policy.js';
import type { ControlStore } from '#cloud/store/control-database.js';

const never = 1_000_000_000;

/** Number 1 of the workspace `default`; the first `canaries` devices are its first wave. */
export async function putGatedRollout(
  db: ControlStore,
  canaries: number,
  digests: { readonly before: string; readonly after: string },
): Promise<void> {
  const now = Date.now();
  const at = toInstant(now);
  const policy = rolloutPolicySchema.parse({
    waves: [{ percent: 10 }, { percent: 100 }],
    gates: {
      errors: { kind: 'errors', maxPercent: 5, minSamples: never },
      speed: { kind: 'latency', maxRatio: 2, minSamples: never },
      memory: { kind: 'memory', maxRatio: 2, minSamples: never },
    },
  });
  const state = {
    id: '1',
    state: 'running',
    wave: 0,
    waves: 2,
    waveStartedAt: now,
    approvedBefore: 0,
    countedFrom: now,
  };
  const previous = { release: 'vision:1', modules: [{ module: 'detector', image: { digest: digests.before } }] };
  const query = JSON.stringify(parseQuery('name ~ "d*"'));
  await db.transaction().execute(async (transaction) => {
    const statements = [
      sql`insert into releases values ('default', 'vision', 2, '', 0, ${at}, null)`,
      sql`insert into releaseModules (workspace, name, version, module, imageDigest, settingsJson, policyJson, updateJson,
          requiresJson) values ('default', 'vision', 2, 'detector', ${digests.after}, '{}', '{}', '{}', '{}')`,
      sql`insert into rollouts values ('default', 1, 'vision:2', 'all', ${query}, ${JSON.stringify(policy)}, 'running',
        ${JSON.stringify(state)}, 1, ${at}, 'somebody', ${at}, null)`,
      sql`insert into rolloutDevices (workspace, rollout, device, wave, standing, attempts, generation, askedRelease,
          assignedAt, endedAt, previousJson, claimed)
        select 'default', 1, name, iif(name < ${nameOf(canaries)}, 0, 1), iif(name < ${nameOf(canaries)}, 'succeeded', 'queued'),
          1, iif(name < ${nameOf(canaries)}, 1, null), 'vision:2', ${now}, ${now}, ${JSON.stringify(previous)}, 1
        from devices where retiredAt is null`,
      sql`insert into rolloutHistory (workspace, rollout, at, kind, device, text)
        select 'default', 1, ${at}, 'succeeded', name, 'vision:2' from devices where name < ${nameOf(canaries)}`,
      sql`update devices set desiredRelease = 'vision:2' where name < ${nameOf(canaries)}`,
    ];
    for (const statement of statements) await statement.execute(transaction);
  });
}

export const nameOf = (device: number): string => `d${String(device).padStart(5, '0')}`;
