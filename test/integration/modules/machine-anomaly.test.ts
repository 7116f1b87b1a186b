import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { post, repository } from '#test/support/scoring-harness.js';
import { type ServedFolder, serveFolder } from '#test/support/served-folder.js';

const folder = join(repository, 'modules/machine-anomaly');

let served: ServedFolder;
beforeAll(async () => {
  served = await serveFolder(folder, { inARow: 2 });
});
afterAll(() => served.close());

const reading = async (name: string, more: object = {}): Promise<object> => ({
  ...(JSON.parse(await readFile(join(folder, `fixtures/${name}.json`), 'utf8')) as object),
  ...more,
});
const score = (body: unknown): ReturnType<typeof post> => post(`${served.url}/score/machine-anomaly`, body);

describe('machine-anomaly', () => {
  it('proves itself: features and scores of the script are those of Python', () => {
    expect(served.served.proved).toBe(4);
  });

  it('finds nothing in a window without a fault', async () => {
    expect(await score(await reading('normal'))).toMatchObject({
      status: 200,
      json: { machine: 'fan-1', anomaly: false, because: [], alarm: 'none' },
    });
  });

  it.each([
    ['imbalance', 'rms'],
    ['bearing', 'kurtosis'],
    ['overheating', 'rise'],
  ])('finds %s, and says that %s is unusual', async (fault, feature) => {
    expect(await score(await reading(fault, { machine: fault }))).toMatchObject({
      status: 200,
      json: {
        anomaly: true,
        because: expect.arrayContaining([expect.objectContaining({ feature }) as object]) as object[],
      },
    });
  });

  it('raises an alarm for a machine whose windows go on being bad, and clears it when they are good again', async () => {
    const changes: unknown[] = [];
    for (const name of ['bearing', 'normal', 'bearing', 'bearing', 'bearing', 'normal', 'normal']) {
      const { json } = await score(await reading(name, { machine: 'pump-2' }));
      changes.push((json as { change?: string }).change);
    }
    expect(changes).toEqual([undefined, undefined, undefined, 'raised', undefined, undefined, 'cleared']);
  });

  it.each([
    ['a load that it does not know', { load: 'double' }, /^load must be one of/],
    ['a sensor that always gives the same', { vibration: new Array<number>(512).fill(1) }, /broken or not mounted/],
    ['too few samples', { vibration: [1, 2, 3] }, /^vibration must be/],
  ])('refuses %s with status 400', async (_what, more, reason) => {
    expect(await score(await reading('normal', more))).toMatchObject({
      status: 400,
      json: { message: expect.stringMatching(reason) as string },
    });
  });
});
