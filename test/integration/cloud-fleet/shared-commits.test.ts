import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { type ControlStore, openControlDatabase } from '#cloud/store/control-database.js';
import { SharedCommits } from '#cloud/store/shared-commits.js';

let folder: string;
let db: ControlStore;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'flotilla-commits-'));
  db = await openControlDatabase(join(folder, 'control.db'));
});
afterAll(async () => {
  await db.destroy();
  await rm(folder, { recursive: true, force: true });
});

const add =
  (name: string, thenThrow?: Error) =>
  async (transaction: Pick<ControlStore, 'insertInto'>): Promise<string> => {
    await transaction.insertInto('workspaces').values({ name, createdAt: '2026-01-01T00:00:00.000Z' }).execute();
    if (thenThrow !== undefined) throw thenThrow;
    return name;
  };
const names = async (): Promise<string[]> =>
  (await db.selectFrom('workspaces').select('name').orderBy('name').execute()).map(({ name }) => name);

test('what comes while another is committed shares one commit, and one that fails takes nobody along', async () => {
  const commits = new SharedCommits(db);
  const begun = vi.spyOn(db, 'transaction');
  const outcomes = await Promise.allSettled([
    commits.run(add('a')),
    commits.run(add('b', new Error('not b'))),
    commits.run(add('c')),
    commits.run(add('a')),
  ]);
  expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled', 'rejected']);
  expect(await names()).toEqual(['a', 'c']);
  expect(begun).toHaveBeenCalledTimes(1);
  begun.mockRestore();
});

test('where the commit itself fails, everybody is told, and the next ones go on', async () => {
  const commits = new SharedCommits(db);
  const undo = async (transaction: ControlStore): Promise<never> => {
    // As SQLite does by itself on a full disk: then there is no savepoint to go back to.
    const { sql } = await import('kysely');
    await sql`rollback`.execute(transaction);
    throw new Error('disk full');
  };
  const outcomes = await Promise.allSettled([commits.run(add('d')), commits.run(undo)]);
  expect(outcomes.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
  await expect(commits.run(add('e'))).resolves.toBe('e');
  expect(await names()).toEqual(['a', 'c', 'e']);
});
