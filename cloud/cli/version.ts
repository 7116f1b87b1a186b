/** The version in package.json, found upwards from this file, built or not. */
import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import * as z from 'zod';
import { errno } from '#shared/platform/atomic-file.js';

const packageSchema = z.object({ name: z.literal('flotilla'), version: z.string() });

export async function readVersion(start: string = fileURLToPath(import.meta.url)): Promise<string> {
  for (let folder = dirname(start); ; folder = dirname(folder)) {
    try {
      const parsed = packageSchema.safeParse(JSON.parse(await readFile(join(folder, 'package.json'), 'utf8')));
      if (parsed.success) return parsed.data.version;
    } catch (error) {
      if (errno(error) !== 'ENOENT') throw error;
    }
    if (folder === dirname(folder)) return 'unknown';
  }
}
