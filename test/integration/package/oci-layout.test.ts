import { readdir, readFile, writeFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { digestFile, digestOf } from '#shared/package/digest.js';
import { mediaTypes } from '#shared/package/media-types.js';
import { addToIndex, blobPath, copyBlob, listIndex, writeBlob, writeLayout } from '#shared/package/oci-layout.js';
import { temporaryFolder } from '#test/support/temporary-folder.js';

const folder = temporaryFolder();
const descriptor = (text: string) => ({ mediaType: mediaTypes.manifest, digest: digestOf(text), size: text.length });

describe('an image layout', () => {
  it('made again keeps what it lists', async () => {
    await writeLayout(folder('kept'));
    await addToIndex(folder('kept'), descriptor('a'), 'a:1');
    await writeLayout(folder('kept'));
    expect((await listIndex(folder('kept'))).map(({ refName }) => refName)).toEqual(['a:1']);
    expect(JSON.parse(await readFile(folder('kept', 'oci-layout'), 'utf8'))).toEqual({ imageLayoutVersion: '1.0.0' });
  });

  it('has the same index whatever the order of adding, and lists a name once', async () => {
    for (const [name, order] of [
      ['one', ['b:1', 'a:1', 'c:1', 'a:1']],
      ['two', ['c:1', 'b:1', 'a:1']],
    ] as const) {
      await writeLayout(folder(name));
      for (const refName of order) await addToIndex(folder(name), descriptor(refName), refName);
    }
    const index = await readFile(folder('one', 'index.json'), 'utf8');
    expect(index).toBe(await readFile(folder('two', 'index.json'), 'utf8'));
    expect((await listIndex(folder('one'))).map(({ refName }) => refName)).toEqual(['a:1', 'b:1', 'c:1']);
  });

  it('takes equal blobs that are written at once, and leaves nothing beside them', async () => {
    await writeLayout(folder('blobs'));
    const bytes = Buffer.alloc(100_000, 'x');
    await writeFile(folder('source'), bytes);
    await Promise.all([
      writeBlob(folder('blobs'), bytes),
      writeBlob(folder('blobs'), bytes),
      copyBlob(folder('blobs'), folder('source'), bytes.length),
    ]);
    expect(await digestFile(blobPath(folder('blobs'), digestOf(bytes)))).toEqual({
      digest: digestOf(bytes),
      size: 100_000,
    });
    expect(await readdir(folder('blobs', 'blobs', 'sha256'))).toHaveLength(1);
    expect((await readdir(folder('blobs'))).sort()).toEqual(['blobs', 'index.json', 'oci-layout']);
  });

  it('refuses a file that is larger than allowed, and one that is not there', async () => {
    await writeLayout(folder('limits'));
    await writeFile(folder('large'), Buffer.alloc(11));
    await expect(copyBlob(folder('limits'), folder('large'), 10)).rejects.toMatchObject({ code: 'archive.too-large' });
    await expect(copyBlob(folder('limits'), folder('absent'), 10)).rejects.toMatchObject({ code: 'disk.failed' });
    expect((await readdir(folder('limits'))).sort()).toEqual(['blobs', 'index.json', 'oci-layout']);
  });

  it('with an index that is none is reported, not written over', async () => {
    await writeLayout(folder('broken'));
    await writeFile(folder('broken', 'index.json'), '{"manifests": 1}');
    await expect(addToIndex(folder('broken'), descriptor('a'), 'a:1')).rejects.toMatchObject({ code: 'state.corrupt' });
    expect(await readFile(folder('broken', 'index.json'), 'utf8')).toBe('{"manifests": 1}');
  });
});
