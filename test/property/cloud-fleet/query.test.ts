import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AppError } from '#shared/kernel/errors.js';
import { type Database, DeviceRepository } from '#cloud/fleet/device-repository.js';
import { DeviceFacts } from '#cloud/fleet/device-facts.js';
import { DeviceSearch } from '#cloud/fleet/device-search.js';
import { matchesQuery } from '#cloud/fleet/query/evaluate-query.js';
import { factsOf, reportedFacts, tagFacts } from '#cloud/fleet/query/facts.js';
import { formatQuery } from '#cloud/fleet/query/format-query.js';
import { parseQuery } from '#cloud/fleet/query/parse-query.js';
import { queryLimits, querySchema } from '#cloud/fleet/query/query-ast.js';
import { type ControlStore, openControlDatabase } from '#cloud/store/control-database.js';
import { type RandomDevice, randomDevice, randomQuery } from '#test/support/random-fleet.js';
import { temporaryFolder } from '#test/support/temporary-folder.js';

const folder = temporaryFolder();
const at = '2026-01-01T00:00:00.000Z';
let db: ControlStore;

beforeAll(async () => {
  db = await openControlDatabase(folder('control.db'));
  await db
    .insertInto('workspaces')
    .values([
      { name: 'w', createdAt: at },
      { name: 'other', createdAt: at },
    ])
    .execute();
});
afterAll(() => db.destroy());

const nameOf = (index: number): string => `d${String(index)}`;
const convergedGenerationOf = ({ reported }: RandomDevice): number => (reported.converged ? reported.generation : -1);

/** Each device in both workspaces: one must not be found by what is known of its namesake. */
async function fill(db: Database, devices: readonly RandomDevice[]): Promise<void> {
  await db.deleteFrom('deviceFacts').execute();
  await db.deleteFrom('devices').execute();
  for (const workspace of ['w', 'other']) {
    for (const [index, device] of (workspace === 'w' ? devices : [...devices].reverse()).entries()) {
      await db
        .insertInto('devices')
        .values({
          ...{ workspace, name: nameOf(index), sealingKey: '', tagsJson: '{}', reportedJson: '{}', enrolledAt: at },
          ...{ presenceAt: null, presenceBootId: 0, desiredEnvelope: null, desiredExpiresAt: null },
          ...{ reportedBootId: 0, reportedSequence: 0, reportedAt: null },
          retiredAt: device.retired ? at : null,
          online: device.online ? 1 : 0,
          desiredGeneration: device.desiredGeneration,
          desiredRelease: device.release,
          convergedGeneration: convergedGenerationOf(device),
        })
        .execute();
      await new DeviceFacts(db).write({ workspace, device: nameOf(index) }, device);
    }
  }
}

describe('the query language', () => {
  it('finds in the database exactly the devices that match, whatever they are and whatever is asked', async () => {
    let found = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.array(randomDevice, { minLength: 1, maxLength: 8 }),
        fc.array(randomQuery, { minLength: 8, maxLength: 8 }),
        async (devices, queries) => {
          await db.transaction().execute((transaction) => fill(transaction, devices));
          for (const query of queries) {
            const expected = devices.flatMap((device, index) => {
              const converged = convergedGenerationOf(device) === device.desiredGeneration;
              const facts = factsOf({ ...device, name: nameOf(index), converged });
              return !device.retired && matchesQuery(query, facts) ? [nameOf(index)] : [];
            });
            const search = new DeviceSearch(db);
            const rows = await search.page('w', query, 100);
            expect(
              rows.map(({ name }) => name),
              formatQuery(query),
            ).toEqual(expected);
            expect((await search.count('w', query)).count).toBe(expected.length);
            found += expected.length;
          }
        },
      ),
      { numRuns: 50 },
    );
    expect(found, 'a test in which nothing is ever found says nothing').toBeGreaterThan(100);
  });

  it('knows of a device after any changes what it would know of it anew', async () => {
    const address = { workspace: 'w', device: nameOf(0) };
    await fc.assert(
      fc.asyncProperty(fc.array(randomDevice, { minLength: 1, maxLength: 5 }), async ([first, ...later]) => {
        if (first === undefined) return;
        await db.transaction().execute(async (transaction) => {
          await fill(transaction, [first]);
          const devices = new DeviceRepository(transaction);
          let before = first.reported;
          for (const { reported, tags } of later) {
            await devices.storeReport(address, { before, after: reported }, {});
            await devices.update(address, { tagsJson: JSON.stringify(tags) });
            before = reported;
          }
          const rows = await transaction
            .selectFrom('deviceFacts')
            .select(['name', 'text', 'number'])
            .where('workspace', '=', 'w')
            .execute();
          const last = later.at(-1) ?? first;
          const anew = [...tagFacts(last.tags), ...reportedFacts(last.reported)];
          expect(new Map(rows.map(({ name, ...fact }) => [name, fact]))).toEqual(new Map(anew));
        });
      }),
      { numRuns: 40 },
    );
  });

  it('reads every query back from its text', () => {
    fc.assert(
      fc.property(randomQuery, (query) => {
        const text = formatQuery(query);
        fc.pre(text.length <= queryLimits.length);
        expect(parseQuery(text)).toEqual(query);
        expect(querySchema.parse(JSON.parse(JSON.stringify(query)))).toEqual(query);
      }),
      { numRuns: 200 },
    );
  });

  it('answers any text with a query, or with an error that has a column within it', () => {
    const words = ['site', 'and', 'or', 'not', 'in', '(', ')', ',', '=', '<', '"x"', "'", '3', '-', '\\', '*', 'tags.'];
    const likely = fc.array(fc.constantFrom(...words, 'modules.a', 'online', 'true', '\ud800', '\0'), {
      maxLength: 40,
    });
    const text = fc.oneof(
      fc.string({ unit: 'binary', maxLength: 60 }),
      likely.map((parts) => parts.join(' ')),
      likely.map((parts) => parts.join('')),
      fc.nat({ max: 3000 }).map((length) => '('.repeat(length)),
      fc.nat({ max: 600 }).map((length) => `${'not '.repeat(length)}a`),
      fc.nat({ max: 600 }).map((length) => `${'a or '.repeat(length)}a`),
    );
    fc.assert(
      fc.property(text, (given) => {
        try {
          querySchema.parse(parseQuery(given));
        } catch (error) {
          expect(error).toBeInstanceOf(AppError);
          const { code, details } = error as AppError;
          expect(code).toBe('query.invalid');
          expect(details['column']).toBeGreaterThanOrEqual(1);
          expect(details['column']).toBeLessThanOrEqual(given.length + 1);
        }
      }),
      { numRuns: 100 },
    );
  });
});
