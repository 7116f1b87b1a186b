/**
 * A model's blobs under the names that its graph uses, so that onnxruntime finds external data. Hard links
 * where the file system has them: blobs never change, so sharing them is safe.
 */
import { copyFile, link, mkdir, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { diskError } from '#shared/platform/atomic-file.js';
import type { BlobStore } from '#cloud/store/blob-store.js';
import type { ModelFile } from '#cloud/store/model-repository.js';

/** Gives `use` the path of the first file, the graph; the folder is gone afterwards. */
export async function withStagedModel<T>(
  store: BlobStore,
  files: readonly Pick<ModelFile, 'path' | 'digest'>[],
  folder: string,
  use: (graph: string) => Promise<T>,
): Promise<T> {
  const [graph] = files;
  if (graph === undefined) throw new Error('a model without files');
  try {
    await rm(folder, { recursive: true, force: true });
    try {
      for (const file of files) await stage(store.pathOf(file.digest), join(folder, file.path));
    } catch (error) {
      throw diskError(error, `cannot lay out the model in ${folder}`);
    }
    return await use(join(folder, graph.path));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function stage(from: string, to: string): Promise<void> {
  await mkdir(dirname(to), { recursive: true });
  try {
    await link(from, to);
  } catch {
    // Another file system, or one without links; a real failure shows again in the copy.
    await copyFile(from, to);
  }
}
