import { createHash } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { systemClock } from '#shared/kernel/clock.js';
import type { ModuleCollectRule } from '#shared/protocol/collect.js';
import { PieceFolder, rulesFile, wholeLines } from '#shared/scoring/collect/piece-folder.js';
import { serveScript } from '#test/support/script-module.js';
import { digits, digitsFolder, post, Scoring } from '#test/support/scoring-harness.js';

const scoring = new Scoring();
const digit = await readFile(join(digitsFolder, 'fixtures/digit.json'), 'utf8');
const json = { 'content-type': 'application/json' };
const source = `export function run(input) { return { answer: { iban: 'DE00', sum: 3 }, tags: input.tags ?? [] }; }`;

interface Line {
  readonly [field: string]: unknown;
  readonly type: string;
  readonly data: unknown;
}

describe('a host that collects for its owner', () => {
  let url: string;
  let folder: PieceFolder;
  const rule = (more: Partial<ModuleCollectRule> = {}): ModuleCollectRule => ({
    ...{ rate: 1, collections: ['model_inputs', 'model_outputs'], redact: [], source: '/workspaces/w/x' },
    ...{ maxLineBytes: 4096, maxPieceBytes: 1024, maxOpenMs: 1 },
    ...more,
  });
  /** In force when it resolves. */
  const collect = async (modules: Record<string, ModuleCollectRule>): Promise<void> => {
    await folder.writeRules({ schema: 1, modules });
    await systemClock.sleep(700);
  };
  /** So many lines, once their pieces are finished; they are taken away. */
  const take = async (count: number): Promise<Line[]> => {
    const lines: Line[] = [];
    for (let tries = 0; tries < 400 && lines.length < count; tries++) {
      for (const piece of await folder.finished()) {
        const bytes = (await folder.read(piece)) ?? Buffer.alloc(0);
        expect(bytes.length).toBeLessThanOrEqual(4096);
        lines.push(...wholeLines(bytes).map((line) => JSON.parse(line) as Line));
        await folder.remove(piece);
      }
      await systemClock.sleep(25);
    }
    return lines;
  };

  beforeAll(async () => {
    folder = new PieceFolder(join(await scoring.folder(), 'collect'), systemClock);
    await folder.prepare();
    const config = { collectFolder: folder.path };
    ({ url } = await serveScript(scoring, { name: 'words', source, others: [digits], config }));
    await collect({ digits: rule({ redact: ['image'] }), words: rule({ redact: ['iban', 'customer'] }) });
  });
  afterAll(() => scoring.end());

  it('leaves both sides of a request with one id, whose they are, and nothing of what is left out', async () => {
    const answer = await post(`${url}/v2/models/digits/infer`, digit, { ...json, 'x-request-id': 'r-1' });
    expect(answer.status).toBe(200);
    const lines = await take(2);
    expect(lines.map(({ type }) => type).sort()).toEqual(['azureml.inference.inputs', 'azureml.inference.outputs']);
    for (const line of lines) {
      expect(line).toMatchObject({
        ...{ specversion: '1.0', source: '/workspaces/w/x', correlationid: 'r-1', xrequestid: 'r-1' },
        ...{ subject: `/models/digits/versions/1@${digits.digest}`, collectdatatype: 'tensors' },
      });
    }
    const input = lines.find(({ type }) => type.endsWith('inputs'));
    expect(input?.data).toEqual([{ name: 'image', datatype: 'FP32', shape: [1, 1, 8, 8], data: '[redacted]' }]);
    expect(JSON.stringify(lines.find(({ type }) => type.endsWith('outputs')))).toContain('"FP32"');
  });

  it('keeps bodies of scripts without named fields at any depth, and what is no JSON as its size alone', async () => {
    const body = JSON.stringify({ customer: { name: 'A' }, tags: [{ iban: 'GB00' }], id: 7 });
    await post(`${url}/score/words`, body, { ...json, 'x-request-id': 'r-2' });
    const lines = await take(2);
    const input = lines.find(({ type }) => type.endsWith('inputs'));
    expect(input).toMatchObject({ collectdatatype: 'json', correlationid: 'r-2', modelversion: '1' });
    expect(input?.data).toEqual({ customer: '[redacted]', tags: [{ iban: '[redacted]' }], id: 7 });
    expect(lines.find(({ type }) => type.endsWith('outputs'))?.data).toEqual({
      answer: { iban: '[redacted]', sum: 3 },
      tags: [{ iban: '[redacted]' }],
    });
    const bytes = `{"tags":[{"iban":"GB00"}],"padding":"${'x'.repeat(6000)}"}`;
    await post(`${url}/score/words`, bytes, json);
    const large = (await take(2)).find(({ type }) => type.endsWith('inputs'));
    expect(large).toMatchObject({ collectdatatype: 'bytes', data: { bytes: bytes.length } });
    expect(JSON.stringify(large)).not.toContain(createHash('sha256').update(bytes).digest('hex'));
  });

  it('follows its owner while it runs: what is asked, what is no longer, and nothing by rules that cannot be read', async () => {
    await collect({ words: rule({ collections: ['model_outputs'] }) });
    await post(`${url}/v2/models/digits/infer`, digit, json);
    await post(`${url}/score/words`, '{}', json);
    const lines = await take(1);
    expect(lines.map(({ type, collectdatatype }) => [type, collectdatatype])).toEqual([
      ['azureml.inference.outputs', 'json'],
    ]);
    await writeFile(join(folder.path, rulesFile), '{"schema":1,"modules":{"words":{"rate":1}}}');
    await systemClock.sleep(700);
    await post(`${url}/score/words`, '{}', json);
    await collect({ words: rule() });
    await post(`${url}/score/words`, '{"tags":[1]}', json);
    expect((await take(2)).map(({ data }) => data)).toContainEqual({ tags: [1] });
    expect(await folder.finished()).toEqual([]);
  });

  it('says nothing of what it collected in its log', () => {
    expect(scoring.lines.join('\n')).not.toMatch(/GB00|DE00|redacted/);
  });
});
