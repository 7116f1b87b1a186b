import { sql, type Kysely } from 'kysely';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { DeploymentRepository } from '#cloud/fleet/deployment-repository.js';
import { type ControlStore, controlMigrations, openControlDatabase } from '#cloud/store/control-database.js';
import { openSqlite } from '#cloud/store/sqlite.js';
import { temporaryFolder } from '#test/support/temporary-folder.js';

const folder = temporaryFolder();
const at = '2026-01-01T00:00:00.000Z';
const digest = `sha256:${'a'.repeat(64)}`;
let db: ControlStore;

/** A device with what it runs and what it ran, as they stood before there were web services. */
async function fill(before: Kysely<never>): Promise<void> {
  const statements = [
    sql`insert into workspaces (name, createdAt) values ('w', ${at})`,
    sql`insert into images (workspace, name, version, digest, manifestSize, flavor, signatureDigest, signatureSize,
      keyIdsJson, tagsJson, size, createdAt) values ('w', 'digits', 2, ${digest}, 10, 'onnx', ${digest}, 20, '[]', '{}', 9, ${at})`,
    sql`insert into devices (workspace, name, sealingKey, tagsJson, enrolledAt, online, presenceBootId, desiredGeneration,
      reportedJson, reportedBootId, reportedSequence) values ('w', 'cam-1', '', '{}', ${at}, 0, 0, 3, '{}', 0, 0)`,
    ...[1, 3].map(
      (generation) => sql`insert into deployments (id, workspace, kind, device, module, imageDigest, settingsJson,
        policyJson, updateJson, routesJson, startAfterJson, generation, removedGeneration, createdAt)
        values (${String(generation)}, 'w', 'iot-module', 'cam-1', 'gate', ${digest}, '{"threshold":0.5}',
        '{"restart":"never"}', '{"keepVersions":1}', '{"alarms":null}', '["camera"]', ${generation},
        ${generation === 1 ? 3 : null}, ${at})`,
    ),
  ];
  for (const statement of statements) await statement.execute(before);
}

beforeAll(async () => {
  const path = folder('control.db');
  const older = controlMigrations.filter(({ name }) => name < '0020');
  const before = await openSqlite<never>(path, { synchronous: 'NORMAL', migrations: older });
  await fill(before);
  await before.destroy();
  db = await openControlDatabase(path);
});
afterAll(() => db.destroy());

it('devices run what they ran, and what they ran before is still known', async () => {
  expect(await new DeploymentRepository(db).listCurrentOf({ workspace: 'w', device: 'cam-1' })).toMatchObject([
    {
      ...{ module: 'gate', settings: { threshold: 0.5 }, policy: { restart: 'never' }, update: { keepVersions: 1 } },
      ...{ routes: { alarms: null }, startAfter: ['camera'], image: { name: 'digits', version: 2, digest } },
    },
  ]);
  const rows = await db.selectFrom('deployments').select(['id', 'removedGeneration']).orderBy('id').execute();
  expect(rows).toEqual([
    { id: '1', removedGeneration: 3 },
    { id: '3', removedGeneration: null },
  ]);
});

it('a deployment is of a device or of an endpoint, and runs once under its name', async () => {
  const row = { id: 'x', workspace: 'w', imageDigest: digest, settingsJson: '{}', policyJson: '{}', updateJson: '{}' };
  const rest = { ...row, generation: 4, removedGeneration: null, createdAt: at };
  const insert = (values: object) =>
    db
      .insertInto('deployments')
      .values({ ...rest, kind: 'iot-module', device: null, module: null, ...values })
      .execute();
  await expect(insert({ module: 'gate' })).rejects.toThrow('CHECK');
  await expect(insert({ kind: 'web-service', device: 'cam-1', name: 'blue' })).rejects.toThrow('CHECK');
  await expect(insert({ device: 'cam-1', module: 'gate' })).rejects.toThrow('UNIQUE');
  await expect(insert({ device: 'cam-2', module: 'gate' })).rejects.toThrow('FOREIGN KEY');
});
