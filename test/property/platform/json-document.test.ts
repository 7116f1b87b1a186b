import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AppError } from '#shared/kernel/errors.js';
import { JsonDocument } from '#shared/platform/atomic-file.js';

interface Content {
  readonly value: string;
}

function parse(value: unknown): Content {
  if (typeof value !== 'object' || value === null || !('value' in value) || typeof value.value !== 'string') {
    throw new Error('no content');
  }
  return { value: value.value };
}

let root: string;
let made = 0;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'flotilla-document-'));
});
afterAll(async () => {
  await rm(root, { recursive: true, force: true });
});

/** A fresh folder, and the document in it. */
async function fresh(): Promise<{ path: string; document: JsonDocument<Content> }> {
  made += 1;
  const path = join(root, String(made), 'state.json');
  await mkdir(join(root, String(made)));
  return { path, document: new JsonDocument(path, parse) };
}

async function writtenTwice(): Promise<{ path: string; document: JsonDocument<Content>; bytes: Buffer }> {
  const { path, document } = await fresh();
  await document.write({ value: 'old' });
  await document.write({ value: 'new' });
  return { path, document, bytes: await readFile(path) };
}

/** The files of a disk at one instant, put into a folder of their own and read there. */
async function readFrom(files: Readonly<Record<string, Uint8Array>>): Promise<string> {
  const { path, document } = await fresh();
  for (const [suffix, bytes] of Object.entries(files)) await writeFile(path + suffix, bytes);
  try {
    return (await document.read())?.value.value ?? 'absent';
  } catch (error) {
    return error instanceof AppError ? error.code : 'thrown';
  }
}

describe('a document after a cut', () => {
  it('reads old or new wherever the current file was truncated, and says which', async () => {
    const { path, document, bytes } = await writtenTwice();
    for (let length = 0; length <= bytes.length; length++) {
      await writeFile(path, bytes.subarray(0, length));
      const whole = length === bytes.length;
      expect(await document.read()).toEqual({ value: { value: whole ? 'new' : 'old' }, recovered: !whole });
    }
  });

  it('reads old wherever a byte of the current file is another, or null from there on', async () => {
    const { path, document, bytes } = await writtenTwice();
    for (let at = 0; at < bytes.length; at++) {
      const flipped = Buffer.from(bytes);
      flipped[at] = (flipped[at] ?? 0) ^ 0x20;
      const nulled = Buffer.from(bytes).fill(0, at);
      for (const damaged of [flipped, nulled]) {
        await writeFile(path, damaged);
        expect(await document.read()).toEqual({ value: { value: 'old' }, recovered: true });
      }
    }
  });

  it('reads old or new at every step of a write', async () => {
    const { path } = await writtenTwice();
    const [oldBytes, newBytes] = [await readFile(`${path}.previous`), await readFile(path)];
    for (let length = 0; length <= newBytes.length; length += 5) {
      const half = newBytes.subarray(0, length);
      // The first write: only a temporary file yet.
      expect(await readFrom({ '.new': half })).toBe('absent');
      // Before, between and after the two renames of a later one.
      expect(await readFrom({ '': oldBytes, '.previous.new': oldBytes })).toBe('old');
      expect(await readFrom({ '': oldBytes, '.previous': oldBytes, '.new': half })).toBe('old');
      expect(await readFrom({ '': newBytes, '.previous': oldBytes, '.new': half })).toBe('new');
    }
  });

  it('reads the predecessor when the current file is gone', async () => {
    const { path, document } = await writtenTwice();
    await rm(path);
    expect(await document.read()).toEqual({ value: { value: 'old' }, recovered: true });
  });

  it('never makes a damaged file the predecessor of the next', async () => {
    const { path, document } = await writtenTwice();
    await writeFile(path, 'damaged');
    await document.write({ value: 'third' });
    await writeFile(path, 'damaged again');
    expect(await document.read()).toEqual({ value: { value: 'old' }, recovered: true });
  });

  it('says that the state is corrupt, and where, when nothing can be read', async () => {
    const { path, document } = await writtenTwice();
    await writeFile(path, '{}');
    await writeFile(`${path}.previous`, '');
    await expect(document.read()).rejects.toMatchObject({
      code: 'state.corrupt',
      message: expect.stringContaining(path) as string,
    });
  });

  it('is absent where there never was one', async () => {
    expect(await readFrom({})).toBe('absent');
    const nowhere = new JsonDocument(join(root, 'no', 'such', 'folder.json'), parse);
    expect(await nowhere.read()).toBeUndefined();
  });

  it('goes on from any mixture of files: a write makes it whole, and one more heals the predecessor', async () => {
    const file = (text: string): Buffer => {
      const body = `${JSON.stringify({ value: text })}\n`;
      return Buffer.from(`${createHash('sha256').update(body).digest('hex')}\n${body}`);
    };
    const state = fc.oneof(
      fc.constant(undefined),
      fc.constantFrom('a', 'b').map(file),
      fc.nat({ max: 70 }).map((length) => file('a').subarray(0, length)),
      fc.uint8Array({ maxLength: 100 }),
    );
    await fc.assert(
      fc.asyncProperty(state, state, state, state, async (current, previous, temporary, temporaryPrevious) => {
        const { path, document } = await fresh();
        const files = { '': current, '.previous': previous, '.new': temporary, '.previous.new': temporaryPrevious };
        for (const [suffix, bytes] of Object.entries(files)) {
          if (bytes !== undefined) await writeFile(path + suffix, bytes);
        }
        await document.write({ value: 'one' });
        expect(await document.read()).toEqual({ value: { value: 'one' }, recovered: false });
        await document.write({ value: 'two' });
        await writeFile(path, 'damaged');
        expect(await document.read()).toEqual({ value: { value: 'one' }, recovered: true });
      }),
      { numRuns: 100 },
    );
  });
});

describe('writing', () => {
  it('many at once leaves the last one, whole, and nothing beside it and its predecessor', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.string({ maxLength: 2000 }), { minLength: 1, maxLength: 8 }), async (values) => {
        const { path, document } = await fresh();
        await Promise.all(values.map((value) => document.write({ value })));
        expect(await document.read()).toEqual({ value: { value: values.at(-1) }, recovered: false });
        const left = (await readdir(join(path, '..'))).sort();
        expect(left).toEqual(values.length === 1 ? ['state.json'] : ['state.json', 'state.json.previous']);
      }),
      { numRuns: 40 },
    );
  });

  it('never lets a reader see anything but a whole value', async () => {
    const { document } = await fresh();
    await document.write({ value: '0'.repeat(50_000) });
    const writes = Array.from({ length: 9 }, (_, index) => document.write({ value: String(index).repeat(50_000) }));
    let writing = true;
    const all = Promise.all(writes).then(() => {
      writing = false;
    });
    while (writing) {
      const read = await document.read();
      expect(read?.recovered).toBe(false);
      expect(new Set(read?.value.value).size).toBe(1);
    }
    await all;
  });

  it('into a folder that cannot be made says what and where, and the next write is tried anew', async () => {
    const { path } = await fresh();
    await writeFile(path, 'a file in the way');
    const beneath = new JsonDocument(join(path, 'state.json'), parse);
    await expect(beneath.write({ value: 'x' })).rejects.toMatchObject({
      code: 'disk.failed',
      message: expect.stringContaining(join(path, 'state.json')) as string,
    });
    await rm(path);
    await beneath.write({ value: 'x' });
    expect((await beneath.read())?.value.value).toBe('x');
  });

  it('that fails leaves the old value and no temporary file', async () => {
    const { path, document } = await fresh();
    await document.write({ value: 'old' });
    await rm(path);
    await mkdir(join(path, 'in-the-way'), { recursive: true });
    await expect(document.write({ value: 'new' })).rejects.toMatchObject({ code: 'disk.failed' });
    expect((await readdir(join(path, '..'))).sort()).toEqual(['state.json']);
  });

  it('takes the value as it is at the call', async () => {
    const { document } = await fresh();
    const value = { value: 'before' };
    const first = document.write({ value: 'first' });
    const second = document.write(value);
    value.value = 'after';
    await Promise.all([first, second]);
    expect((await document.read())?.value.value).toBe('before');
  });
});

describe('removing', () => {
  it('leaves nothing behind, predecessor and leftovers of a cut included', async () => {
    const { path, document } = await writtenTwice();
    await writeFile(`${path}.new`, 'half');
    await document.remove();
    expect(await document.read()).toBeUndefined();
    expect(await readdir(join(path, '..'))).toEqual([]);
  });

  it('of what is not there is no error', async () => {
    await new JsonDocument(join(root, 'no', 'such', 'folder.json'), parse).remove();
  });
});
