import { writeFile } from 'node:fs/promises';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { AppError } from '#shared/kernel/errors.js';
import { ZipFile } from '#agent/providers/zip-file.js';
import { temporaryFolder } from '../../support/temporary-folder.js';
import { writeZip } from '../../support/zip-writer.js';

describe('reading a ZIP archive', () => {
  const folder = temporaryFolder();
  let files = 0;
  const readAll = async (archive: Uint8Array): Promise<Map<string, Buffer>> => {
    files += 1;
    const path = folder(`${String(files)}.zip`);
    await writeFile(path, archive);
    const zip = await ZipFile.open(path);
    try {
      const contents = new Map<string, Buffer>();
      for (const entry of zip.entries) {
        const chunks: Buffer[] = [];
        for await (const chunk of await zip.read(entry)) chunks.push(chunk as Buffer);
        contents.set(entry.name, Buffer.concat(chunks));
      }
      return contents;
    } finally {
      await zip.close();
    }
  };
  const entries = fc.uniqueArray(
    fc.record({
      path: fc.stringMatching(/^[a-z]{1,8}(\/[a-z]{1,8})?$/),
      content: fc.uint8Array({ maxLength: 2000 }),
      stored: fc.boolean(),
    }),
    { selector: ({ path }) => path, maxLength: 5 },
  );

  it('gives back what was written, packed or not', async () => {
    await fc.assert(
      fc.asyncProperty(entries, async (written) => {
        const read = await readAll(writeZip(written));
        expect([...read.keys()]).toEqual(written.map(({ path }) => path));
        for (const { path, content } of written) expect(read.get(path)?.equals(content)).toBe(true);
      }),
      { numRuns: 60 },
    );
  });

  it('of which any byte is another, or that ends anywhere, gives the right bytes or a refusal', async () => {
    await fc.assert(
      fc.asyncProperty(
        entries,
        fc.nat(),
        fc.integer({ min: 1, max: 255 }),
        fc.boolean(),
        async (written, at, by, cut) => {
          const archive = writeZip(written);
          const place = at % archive.length;
          const broken = cut ? archive.subarray(0, place) : Buffer.from(archive);
          if (!cut) broken[place] = ((broken[place] ?? 0) + by) % 256;
          const read = await readAll(broken).catch((error: unknown) => error);
          if (read instanceof Map) {
            const right = new Set(written.map(({ content }) => Buffer.from(content).toString('hex')));
            for (const content of (read as Map<string, Buffer>).values())
              expect(right).toContain(content.toString('hex'));
          } else {
            expect(read).toBeInstanceOf(AppError);
            expect(read).toMatchObject({ code: 'archive.unsafe' });
          }
        },
      ),
      { numRuns: 300 },
    );
  });
});
