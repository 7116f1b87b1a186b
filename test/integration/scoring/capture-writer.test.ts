import { mkdir, readdir, readFile, stat, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { CaptureWriter } from '#shared/scoring/traffic/capture/capture-writer.js';
import { temporaryFolder } from '#test/support/temporary-folder.js';

const path = temporaryFolder();
const line = (bytes: number): string => `${'x'.repeat(bytes - 1)}\n`;
const writerIn = (folder: string, maxBytes = 8000): CaptureWriter =>
  new CaptureWriter({ folder, scope: 'm/1', maxBytes, instance: 'i', maxBufferedBytes: 4000 });

async function filesIn(folder: string): Promise<string[]> {
  const names = await readdir(folder, { recursive: true });
  return names.filter((name) => name.endsWith('.jsonl')).sort();
}

async function bytesIn(folder: string): Promise<number> {
  let total = 0;
  for (const name of await filesIn(folder)) total += (await stat(join(folder, name))).size;
  return total;
}

describe('a writer of captured lines', () => {
  it('appends to one file a folder, that nobody else may read', async () => {
    const folder = path('append');
    const writer = writerIn(folder);
    writer.add('m/1/a', 'one\n');
    writer.add('m/1/b', 'two\n');
    await writer.flush();
    writer.add('m/1/a', 'three\n');
    await writer.flush();
    expect(await filesIn(folder)).toEqual(['m/1/a/i.jsonl', 'm/1/b/i.jsonl']);
    expect(await readFile(join(folder, 'm/1/a/i.jsonl'), 'utf8')).toBe('one\nthree\n');
    expect((await stat(join(folder, 'm/1/a/i.jsonl'))).mode & 0o777).toBe(0o600);
    expect((await stat(join(folder, 'm/1/a'))).mode & 0o777).toBe(0o700);
  });

  it('keeps within its size: what is oldest goes first, also of processes before it', async () => {
    const folder = path('bound');
    await mkdir(join(folder, 'm/1/old'), { recursive: true });
    await mkdir(join(folder, 'm/2/old'), { recursive: true });
    await writeFile(join(folder, 'm/1/old/before.jsonl'), line(900));
    await utimes(join(folder, 'm/1/old/before.jsonl'), 1, 1);
    await writeFile(join(folder, 'm/2/old/other.jsonl'), line(900));
    const writer = writerIn(folder);
    for (let index = 0; index < 60; index++) {
      writer.add(`m/1/${String(Math.floor(index / 20))}`, line(300));
      await writer.flush();
      expect(await bytesIn(join(folder, 'm/1'))).toBeLessThanOrEqual(8000);
    }
    const left = await filesIn(folder);
    expect(left).toContain('m/2/old/other.jsonl');
    expect(left).not.toContain('m/1/old/before.jsonl');
    expect(left.some((name) => name.startsWith('m/1/2/'))).toBe(true);
    expect(left.some((name) => name.startsWith('m/1/0/'))).toBe(false);
    expect(writer.dropped).toBe(0);
  });

  it('drops and counts what its buffer or a file has no room for', async () => {
    const folder = path('full');
    const writer = writerIn(folder);
    for (let index = 0; index < 6; index++) writer.add('m/1/a', line(900));
    expect(writer.dropped).toBe(2);
    writer.add('m/1/a', line(300));
    await writer.flush();
    writer.add('m/1/a', line(1001));
    await writer.flush();
    expect(writer.dropped).toBe(3);
  });

  it('drops and counts what cannot be written, and goes on when it can', async () => {
    const folder = path('fails');
    // A file where a folder must be: it fails for every user, as a full disk does.
    await mkdir(join(folder, 'm'), { recursive: true });
    await writeFile(join(folder, 'm/1'), '');
    const writer = writerIn(folder);
    writer.add('m/1/a', 'one\n');
    await writer.flush();
    expect(writer.dropped).toBe(1);
    writer.add('m/2/a', 'two\n');
    await writer.flush();
    expect(await readFile(join(folder, 'm/2/a/i.jsonl'), 'utf8')).toBe('two\n');
  });
});
