import { mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type CollectRule, collectRuleSchema } from '#shared/protocol/collect.js';
import { pieceFileOf } from '#shared/scoring/collect/piece-name.js';
import { Metrics } from '#cloud/http/metrics.js';
import { CollectedPull, type CollectedSource } from '#cloud/services/control/collected-pull.js';
import { CollectedData } from '#cloud/services/host/collected-data.js';
import { silent } from '#test/support/fleet-world.js';
import { deployment, services } from '#test/support/services/simulated-services.js';
import { start, StorageWorld } from '#test/support/storage/storage-world.js';

const at = new Date(start).toISOString();
const rule = collectRuleSchema.parse({ rate: 0.5, redact: ['x'] });
const line = (id: string): string =>
  `${JSON.stringify({
    ...{ specversion: '1.0', id, source: '/s', type: 'azureml.inference.outputs', datacontenttype: 'application/json' },
    ...{ time: at, data: [], correlationid: id, xrequestid: id, modelversion: '1', collectdatatype: 'tensors' },
    ...{ modeldigest: `sha256:${'0'.repeat(64)}`, agent: 'flotilla', contentrange: 'bytes 0-1/2' },
  })}\n`;

describe('what replicas collect', () => {
  let world: StorageWorld;
  let collected: CollectedData;
  let owner: CollectRule | null;
  let source: CollectedSource;
  let metrics: Metrics;
  let pull: CollectedPull;

  const blue = (collect?: CollectRule) =>
    services(1, { e1: [{ ...deployment('blue', 1, 1), ...(collect && { collect }) }] });
  const folder = (): string => collected.folderOf({ endpoint: 'e1', deployment: 'blue' });
  /** As a scoring host leaves it. */
  const leave = async (number: number, text: string): Promise<void> => {
    const name = { beginMs: start, collection: 'model_outputs', module: 'digits', instance: 'i-1', number } as const;
    await writeFile(join(folder(), pieceFileOf(name)), text);
  };
  const path = 'modelDataCollector/fraud/blue/model_outputs/2026/11/26/11/i-1.jsonl';

  beforeEach(async () => {
    world = await StorageWorld.open();
    const clock = { now: () => start, monotonic: () => 0 } as never;
    collected = new CollectedData({ folder: join(world.folder, 'collected'), clock, logger: silent });
    owner = rule;
    source = { collected: () => collected.list(), taken: (keys) => collected.taken(keys) };
    metrics = new Metrics();
    pull = new CollectedPull({
      ...{ storage: world.storage, clock, logger: silent, pieces: metrics.counter('pieces', 'pieces') },
      source: async () => source,
      ownerOf: async (endpoint) => (endpoint === 'e1' ? { workspace: 'w', endpoint: 'fraud', rule: owner } : undefined),
    });
  });
  afterEach(() => world.close());

  it('is told to them in their folder, by the name of the module, and taken back', async () => {
    await collected.apply(blue(rule), []);
    const rules = async (): Promise<unknown> => JSON.parse(await readFile(join(folder(), 'rules.json'), 'utf8'));
    expect(await rules()).toMatchObject({
      modules: {
        [deployment('blue', 1, 1).image.name]: {
          ...{ rate: 0.5, redact: ['x'] },
          source: expect.stringMatching(
            /^\/workspaces\/[a-z]+\/onlineEndpoints\/[a-z0-9-]+\/deployments\/blue$/,
          ) as string,
        },
      },
    });
    expect((await stat(folder())).mode & 0o777).toBe(0o700);
    await leave(1, line('a'));
    await collected.apply(blue(), []);
    expect(await rules()).toEqual({ schema: 1, modules: {} });
    expect((await collected.list()).pieces).toEqual([]);
  });

  it('comes into the storage once, though the word that it was taken is lost, and without what is torn', async () => {
    await collected.apply(blue(rule), []);
    await leave(1, line('a'));
    await leave(2, `${line('b')}{"specversion":"1.0"}\nnot json\n${line('c').slice(0, 40)}`);
    const { taken } = source;
    source = { ...source, taken: () => Promise.reject(new Error('gone')) };
    await expect(pull.run()).rejects.toThrow('gone');
    source = { ...source, taken };
    await leave(3, line('d'));
    await pull.run();
    expect(await world.paths()).toEqual([path]);
    const ids = (await world.text(path))
      .trim()
      .split('\n')
      .map((text) => (JSON.parse(text) as { id: string }).id);
    expect(ids).toEqual(['a', 'b', 'd']);
    expect(await collected.list()).toEqual({ pieces: [], lost: 0 });
    expect(await world.control.selectFrom('storageMarks').selectAll().execute()).toEqual([]);
  });

  it('is let go, the oldest first, where nobody fetches it, and that is told', async () => {
    await collected.apply(blue({ ...rule, maxBytes: 65_536 }), []);
    for (let number = 1; number <= 4; number++) await leave(number, `{"n":"${String(number)}${'x'.repeat(30_000)}"}\n`);
    await collected.look(blue(rule));
    const { pieces, lost } = await collected.list();
    expect([pieces.map(({ lines }) => lines.slice(6, 7)), lost]).toEqual([['3', '4'], 2]);
    await pull.run();
    expect(await metrics.render()).toContain('pieces{outcome="lost"} 2');
  });

  it('is nobody\u2019s where its deployment collects nothing any more, and nothing outside is touched', async () => {
    await collected.apply(blue(rule), []);
    await leave(1, line('a'));
    owner = null;
    await pull.run();
    expect([await world.paths(), (await collected.list()).pieces]).toEqual([[], []]);
    const outside = join(
      world.folder,
      pieceFileOf({ beginMs: 1, collection: 'model_inputs', module: 'm', instance: 'i', number: 1 }),
    );
    await mkdir(join(world.folder, 'collected', 'e1', 'blue'), { recursive: true });
    await writeFile(outside, 'x');
    const file = outside.slice(world.folder.length + 1);
    await collected.taken([
      { endpoint: '..', deployment: '..', file },
      { endpoint: 'e1', deployment: '..', file: `../${file}` },
      { endpoint: 'e1', deployment: 'blue', file: `../../../${file}` },
    ]);
    expect(await readFile(outside, 'utf8')).toBe('x');
    await collected.look(services(2, {}));
    await expect(stat(folder())).rejects.toThrow();
  });
});
