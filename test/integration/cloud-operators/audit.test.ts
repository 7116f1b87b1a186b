import { copyFile, writeFile } from 'node:fs/promises';
import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { AuditRow } from '#cloud/audit/audit-entry.js';
import { AuditLog } from '#cloud/audit/audit-log.js';
import { openControlDatabase } from '#cloud/store/control-database.js';
import { CliHarness, type CliRun } from '#test/support/cli/cli-harness.js';
import { type Answer, type RegistryHarness, startRegistry } from '#test/support/cloud-registry/registry-harness.js';
import { SetClock } from '#test/support/fleet-world.js';
import { temporaryFolder } from '#test/support/temporary-folder.js';

const folder = temporaryFolder();
let cloud: RegistryHarness;
let cli: CliHarness;
beforeAll(async () => {
  cloud = await startRegistry(folder('data'), { 'http-behind-proxy': 'true' });
  cli = await CliHarness.make();
});
afterAll(async () => {
  await cloud.stop();
  await cli.remove();
});

const flotilla = (...args: string[]): Promise<CliRun> => cli.run(args, { url: cloud.url, token: cloud.token });
const lastEntry = async (): Promise<AuditRow> =>
  cloud.ground.control
    .selectFrom('auditEntries')
    .selectAll()
    .orderBy('sequence', 'desc')
    .limit(1)
    .executeTakeFirstOrThrow();
const count = async (): Promise<number> =>
  (await cloud.ground.control.selectFrom('auditEntries').select('sequence').execute()).length;

describe('a change', () => {
  it('is entered with who, what, on what, from where and how it ended, before its answer is there', async () => {
    const answer = await cloud.request(
      'POST',
      '/v1/workspaces',
      { name: 'plant' },
      { 'x-forwarded-for': '9.9.9.9, 10.1.2.3' },
    );
    expect(answer.status).toBe(201);
    const entry = await lastEntry();
    expect(entry).toMatchObject({
      ...{ workspace: null, actorKind: 'token', actorName: 'owner', origin: '10.1.2.3', outcome: 'done' },
      ...{ action: 'POST /v1/workspaces', target: '/v1/workspaces' },
    });
    expect(JSON.parse(entry.detailsJson)).toMatchObject({ status: 201, request: answer.headers.get('x-request-id') });
    expect(await cloud.ground.control.selectFrom('auditIntents').selectAll().execute()).toEqual([]);
  });

  it('that is refused, by role, by its body or by what it meets, is entered as refused', async () => {
    const made = await cloud.request('POST', '/v1/workspaces/plant/tokens', { name: 'eye', role: 'reader' });
    const { token, id } = made.body as { token: string; id: string };
    expect(JSON.parse((await lastEntry()).detailsJson)).toMatchObject({ token: id, name: 'eye', role: 'reader' });
    expect(JSON.stringify(await lastEntry())).not.toContain(token.slice(-43));

    const ask = (path: string, body: unknown): Promise<Answer> =>
      cloud.request('POST', path, body, { authorization: `Bearer ${token}` });
    expect((await ask('/v1/workspaces/plant/models', { name: 'x', files: [] })).status).toBe(403);
    expect(await lastEntry()).toMatchObject({ actorId: id, actorName: 'eye', workspace: 'plant', outcome: 'refused' });
    await cloud.request('POST', '/v1/workspaces', { name: 'Not A Name' });
    expect(await lastEntry()).toMatchObject({ actorName: 'owner', outcome: 'refused' });
    expect((await cloud.request('POST', '/v1/workspaces', { name: 'plant' })).status).toBe(409);
    expect(await lastEntry()).toMatchObject({
      outcome: 'refused',
      detailsJson: expect.stringContaining('409') as string,
    });
  });

  it('is not what a reading call or an unknown caller makes', async () => {
    const before = await count();
    await cloud.request('GET', '/v1/workspaces');
    await cloud.request('POST', '/v1/workspaces', { name: 'x' }, { authorization: 'Bearer nobody' });
    await cloud.request('POST', '/nowhere');
    expect(await count()).toBe(before);
  });

  it('whose entry cannot be written is not answered as done, and the next start says that it may have happened', async () => {
    await sql`create trigger full before insert on auditEntries begin select raise(abort, 'no space'); end`.execute(
      cloud.ground.control,
    );
    const answer = await cloud.request('POST', '/v1/workspaces', { name: 'silent' });
    await sql`drop trigger full`.execute(cloud.ground.control);
    expect(answer.status).toBe(500);
    const recovering = new AuditLog(cloud.ground.control, new SetClock(), () => 'x');
    expect(await recovering.recover()).toBe(1);
    expect(await lastEntry()).toMatchObject({ action: 'POST /v1/workspaces', outcome: 'interrupted' });
    expect(await recovering.recover()).toBe(0);
  });

  it('made by many at once is one chain', async () => {
    await Promise.all(
      Array.from({ length: 20 }, (_, index) => cloud.request('POST', '/v1/workspaces', { name: `w-${String(index)}` })),
    );
    expect((await flotilla('audit', 'verify')).exit).toBe(0);
  });
});

describe('flotilla audit', () => {
  it('lists by actor, action and age, of the workspace or of the installation', async () => {
    const own = await flotilla('audit', 'list', '--workspace', 'plant');
    expect(own.stdout).toMatch(/eye \(token\) .* refused +POST \/models/);
    expect(own.stdout).not.toContain('w-1');
    const all = await flotilla(
      'audit',
      'list',
      '--installation',
      '--action',
      'tokens',
      '--since',
      '1h',
      '--output',
      'json',
    );
    expect((JSON.parse(all.stdout) as AuditRow[]).map(({ action }) => action)).toEqual([
      'POST /v1/workspaces/:workspace/tokens',
    ]);
    expect((await flotilla('audit', 'list', '--actor', 'nobody')).stdout).toContain('no changes');
    const many = await flotilla('audit', 'list', '--installation', '--limit', '3', '--output', 'json');
    expect(JSON.parse(many.stdout)).toHaveLength(3);
  });

  it('exports every entry as a line', async () => {
    const lines = (await flotilla('audit', 'export')).stdout.trim().split('\n');
    expect(lines).toHaveLength(await count());
    expect(JSON.parse(lines[0] ?? '')).toMatchObject({ sequence: 1, previousHash: '' });
  });

  it('verifies against an end that was noted, and a copy of the file', async () => {
    const verified = await flotilla('audit', 'verify', '--output', 'json');
    const { head } = JSON.parse(verified.stdout) as { head: { sequence: number; hash: string } };
    const noted = `${String(head.sequence)}:${head.hash}`;
    expect((await flotilla('audit', 'verify', '--expect', noted)).exit).toBe(0);
    const other = await flotilla('audit', 'verify', '--expect', `${String(head.sequence)}:${'0'.repeat(64)}`);
    expect([other.exit, other.stderr]).toEqual([1, expect.stringContaining('written anew')]);

    for (const end of ['', '-wal']) await copyFile(folder(`data/control.db${end}`), folder(`copy.db${end}`));
    expect((await cli.run(['audit', 'verify', '--file', folder('copy.db')])).exit).toBe(0);
    await writeFile(folder('none.db'), 'no database');
    expect((await cli.run(['audit', 'verify', '--file', folder('none.db')])).exit).toBe(2);
  });

  it('finds an entry that was changed behind its back, here and in a copy, and names it', async () => {
    const { control } = cloud.ground;
    await expect(sql`update auditEntries set outcome = 'done' where sequence = 3`.execute(control)).rejects.toThrow(
      'append-only',
    );
    await expect(sql`delete from auditEntries where sequence = 3`.execute(control)).rejects.toThrow('append-only');
    await sql`drop trigger auditEntriesNeverChange`.execute(control);
    await sql`update auditEntries set actorName = 'innocent' where sequence = 3`.execute(control);
    const broken = await flotilla('audit', 'verify');
    expect([broken.exit, broken.stderr]).toEqual([1, expect.stringContaining('entry 3 is not as it was written')]);
    for (const end of ['', '-wal']) await copyFile(folder(`data/control.db${end}`), folder(`bad.db${end}`));
    expect((await cli.run(['audit', 'verify', '--file', folder('bad.db')])).stderr).toContain('entry 3');
  });
});

describe('retention', () => {
  it('removes old entries and leaves a chain that verifies from its anchor, with the removal in it', async () => {
    const clock = new SetClock();
    const control = await openControlDatabase(folder('old.db'));
    const log = new AuditLog(control, clock, () => 'x');
    const change = { workspace: null, actor: { kind: 'system', id: 'test' }, from: undefined, target: 't' } as const;
    for (let day = 0; day < 5; day++) {
      await log.append({ ...change, action: `day ${String(day)}`, outcome: 'done' });
      clock.nowMs += 86_400_000;
    }
    expect(await log.prune('2026-01-03T12:00:00.000Z')).toBe(3);
    expect(await log.prune('2026-01-03T12:00:00.000Z')).toBe(0);
    await control.destroy();
    const verified = await cli.run(['audit', 'verify', '--file', folder('old.db'), '--output', 'json']);
    expect(JSON.parse(verified.stdout)).toMatchObject({ entries: 3, head: { sequence: 6 } });
  });
});
