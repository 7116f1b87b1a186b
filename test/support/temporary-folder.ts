/** A folder for one test file, gone when its tests are done. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll } from 'vitest';

/** The returned function gives a path in the folder; call it within tests only. */
export function temporaryFolder(): (...parts: string[]) => string {
  let folder: string | undefined;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'flotilla-test-'));
  });
  afterAll(async () => {
    if (folder !== undefined) await rm(folder, { recursive: true, force: true });
  });
  return (...parts) => {
    if (folder === undefined) throw new Error('the temporary folder is there within tests only');
    return join(folder, ...parts);
  };
}
