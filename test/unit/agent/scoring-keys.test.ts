import { readFile, stat, writeFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { systemClock } from '#shared/kernel/clock.js';
import { secretDigest } from '#shared/scoring/access/bearer.js';
import { ScoringKeys } from '#agent/local/scoring-keys.js';
import { temporaryFolder } from '#test/support/temporary-folder.js';

describe('the scoring keys of a device', () => {
  const path = temporaryFolder();
  const open = (name: string, onDamage: (path: string) => void = () => undefined): Promise<ScoringKeys> =>
    ScoringKeys.open(path(name), systemClock, onDamage);

  it('are shown once and kept as digests, for their owner alone', async () => {
    const keys = await open('kept');
    expect(keys.wereMade).toBe(false);
    const { key } = await keys.create('line-4');
    expect(key).toMatch(/^fsk_[\w-]{43}$/);
    expect(await readFile(path('kept'), 'utf8')).not.toContain(key.slice(4));
    expect((await stat(path('kept'))).mode & 0o777).toBe(0o600);
    const again = await open('kept');
    expect(again.wereMade).toBe(true);
    expect(again.digests).toEqual([secretDigest(key).toString('hex')]);
    expect(JSON.stringify(again.list())).not.toContain(again.digests[0]);
  });

  it('made at one time are all kept', async () => {
    const keys = await open('many');
    await Promise.all(['a', 'b', 'c'].map((name) => keys.create(name)));
    expect((await open('many')).list().map(({ name }) => name)).toEqual(['a', 'b', 'c']);
  });

  it('that were revoked do not come back where the file is damaged', async () => {
    const keys = await open('revoked');
    await keys.create('gone');
    await keys.create('here');
    await keys.revoke('gone');
    await writeFile(path('revoked'), '');
    expect((await open('revoked')).list().map(({ name }) => name)).toEqual(['here']);
  });

  it('in a file that cannot be read at all are none, and the port is not open for it', async () => {
    await writeFile(path('lost'), 'x');
    const damaged: string[] = [];
    const keys = await open('lost', (where) => damaged.push(where));
    expect([keys.digests, keys.wereMade, damaged]).toEqual([[], true, [path('lost')]]);
    await keys.create('new');
    expect((await open('lost')).list()).toHaveLength(1);
  });

  it.each([
    ['a name that is none', 'A b', 'request.invalid'],
    ['a name twice', 'taken', 'key.exists'],
  ])('%s is refused', async (_what, name, code) => {
    const keys = await open('names');
    if (keys.list().length === 0) await keys.create('taken');
    await expect(keys.create(name)).rejects.toMatchObject({ code });
  });

  it('that are not there are named, with what is', async () => {
    const keys = await open('absent');
    await keys.create('line-4');
    await expect(keys.revoke('line-5')).rejects.toMatchObject({
      code: 'key.not-found',
      message: expect.stringContaining('line-4') as string,
    });
  });
});
