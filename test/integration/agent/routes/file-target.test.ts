import { mkdtemp, readdir, readFile, rm, symlink, writeFile, mkdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { Payload } from '#agent/routes/payload.js';
import { FileTarget } from '#agent/routes/targets/file-target.js';
import { systemClock } from '#shared/kernel/clock.js';

let root: string;
let target: FileTarget;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'flotilla-files-'));
});
afterEach(async () => {
  await target.close();
  await rm(root, { recursive: true, force: true });
});

function open(file = 'answers.jsonl', maxBytes = 1024, keep = 2): void {
  target = new FileTarget({ file, maxBytes, keep }, { clock: systemClock, root, output: 'amlOutput' });
}

function json(value: unknown, source?: string): Payload {
  return { bytes: Buffer.from(JSON.stringify(value)), json: true, source };
}

async function lines(file = 'answers.jsonl'): Promise<Record<string, unknown>[]> {
  const text = await readFile(join(root, file), 'utf8');
  return text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}

it('an answer is a line, with where it came from', async () => {
  open('deep/answers.jsonl');
  await target.send(json({ label: 3 }, 'three.png'));
  await target.send({ bytes: Buffer.from([1, 2]), json: false });
  expect(await lines('deep/answers.jsonl')).toEqual([
    { at: expect.any(String) as string, source: 'three.png', output: 'amlOutput', value: { label: 3 } },
    { at: expect.any(String) as string, output: 'amlOutput', base64: 'AQI=' },
  ]);
});

it('a full file makes way, and the oldest go', async () => {
  open('answers.jsonl', 1024, 2);
  for (let at = 0; at < 40; at++) await target.send(json({ at, text: 'x'.repeat(100) }));
  expect((await readdir(root)).sort()).toEqual(['answers.jsonl', 'answers.jsonl.1', 'answers.jsonl.2']);
  const kept = [...(await lines('answers.jsonl.2')), ...(await lines('answers.jsonl.1')), ...(await lines())];
  const numbers = kept.map(({ value }) => (value as { at: number }).at);
  expect(numbers).toEqual(Array.from({ length: numbers.length }, (_, at) => 40 - numbers.length + at));
});

it('with no files kept, the full one goes', async () => {
  open('answers.jsonl', 1024, 0);
  for (let at = 0; at < 20; at++) await target.send(json({ at, text: 'x'.repeat(100) }));
  expect(await readdir(root)).toEqual(['answers.jsonl']);
});

it('a line that was cut off by a power cut is closed, and the next stands by itself', async () => {
  await writeFile(join(root, 'answers.jsonl'), '{"at":"whole"}\n{"at":"cut o');
  open();
  await target.send(json(1));
  const [whole, cut, next] = (await readFile(join(root, 'answers.jsonl'), 'utf8')).split('\n');
  expect([whole, cut]).toEqual(['{"at":"whole"}', '{"at":"cut o']);
  expect(JSON.parse(next ?? '')).toMatchObject({ value: 1 });
});

it('an answer that is larger than the file may be is refused as that', async () => {
  open();
  expect(await target.send(json('x'.repeat(2000)))).toMatchObject({ kind: 'lost', reason: 'too-large' });
});

it('nothing is written through a link, of the file or of its folder', async () => {
  const outside = await mkdtemp(join(tmpdir(), 'flotilla-outside-'));
  await writeFile(join(outside, 'victim'), 'as it was');
  await symlink(join(outside, 'victim'), join(root, 'answers.jsonl'));
  open();
  expect(await target.send(json(1))).toMatchObject({ kind: 'later' });
  expect(await readFile(join(outside, 'victim'), 'utf8')).toBe('as it was');
  await symlink(outside, join(root, 'deep'));
  open('deep/answers.jsonl');
  expect(await target.send(json(1))).toMatchObject({
    kind: 'later',
    message: expect.stringMatching(/leads out of/) as string,
  });
  expect(await readdir(outside)).toEqual(['victim']);
  await rm(outside, { recursive: true });
});

it('goes on where what was in its way is gone', async () => {
  await mkdir(join(root, 'answers.jsonl'));
  open();
  expect(await target.send(json(1))).toMatchObject({ kind: 'later' });
  await rm(join(root, 'answers.jsonl'), { recursive: true });
  expect(await target.send(json(2))).toEqual({ kind: 'sent' });
  expect(await lines()).toHaveLength(1);
});
