import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type CompiledQuery, type KyselyPlugin, SqliteQueryCompiler } from 'kysely';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readEvents } from '#cloud/telemetry/event-reader.js';
import { readTelemetry } from '#cloud/telemetry/telemetry-reader.js';
import { openTelemetryDatabase, type TelemetryStore } from '#cloud/store/telemetry-database.js';
import { type CloudParts, openCloudParts } from '#test/support/cloud-parts.js';
import { fillWithDevices, listsOf } from '#test/support/many-devices.js';

/** What grows with a fleet. The planner has no statistics: it does the same with few rows as with many. */
const large = [
  ...['devices', 'deviceFacts', 'rolloutDevices', 'rolloutHistory', 'commandJobDevices', 'alertStates'],
  ...['auditEntries', 'moduleMetrics', 'systemMetrics', 'moduleRollups', 'systemRollups', 'deviceEvents'],
  ...['streamMarks', 'streamGaps'],
];
/** Deployments are read of the devices of a page, and sorted: few. */
const ofLarge = new RegExp(`from "(${large.join('|')})"`);
const slow = { scans: /^SCAN (?!CONSTANT)/, sorts: /TEMP B-TREE FOR .*ORDER BY/ };

let asked: CompiledQuery[] = [];
const compiler = new SqliteQueryCompiler();
const remembering: KyselyPlugin = {
  transformQuery: ({ node, queryId }) => {
    if (node.kind === 'SelectQueryNode') asked.push(compiler.compileQuery(node, queryId));
    return node;
  },
  transformResult: async ({ result }) => result,
};

/** Steps of what was asked that read a whole table, or sort, where there are as many rows as devices or more. */
async function slowSteps(db: Pick<TelemetryStore, 'executeQuery'>, what: readonly RegExp[]): Promise<string[]> {
  const found: string[] = [];
  for (const query of asked.splice(0)) {
    if (!ofLarge.test(query.sql)) continue;
    const { rows } = await db.executeQuery<{ detail: string }>({ ...query, sql: `explain query plan ${query.sql}` });
    found.push(
      ...rows
        .filter(({ detail }) => what.some((one) => one.test(detail)))
        .map(({ detail }) => `${detail}: ${query.sql}`),
    );
  }
  return found;
}

let folder: string;
let cloud: CloudParts;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'flotilla-list-plans-'));
  cloud = await openCloudParts(folder, (control) => control.withPlugin(remembering));
  await fillWithDevices(cloud.ground.control, { devices: 300, rollouts: 2, commands: 2 });
});
afterAll(async () => {
  await cloud.stop();
  await rm(folder, { recursive: true, force: true });
});

describe('lists and counts read what they show, by indexes in its order', () => {
  it.each(listsOf('d00150'))('%s', async (_what, path) => {
    asked = [];
    const answer = await fetch(`${cloud.url}/v1/workspaces/default${path}`, {
      headers: { authorization: `Bearer ${cloud.token}` },
    });
    expect(answer.status, await answer.text()).toBe(200);
    expect(await slowSteps(cloud.ground.control, [slow.scans, slow.sorts])).toEqual([]);
  });

  it('what a device told, which another thread reads', async () => {
    const store = await openTelemetryDatabase(join(folder, 'others.db'));
    const db = store.withPlugin(remembering);
    asked = [];
    await readTelemetry(db, { workspace: 'w', device: 'd', fromMs: 0 });
    await readEvents(db, { workspace: 'w', device: 'd', limit: 10, before: 100 });
    expect(asked.length).toBeGreaterThan(4);
    // One device's own rows may be sorted: they do not grow with the fleet.
    expect(await slowSteps(store, [slow.scans])).toEqual([]);
    await store.destroy();
  });
});
