/** Where the repository begins, seen from a source as from what was built of it. */
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';

function above(folder: string): string {
  return existsSync(join(folder, 'package-lock.json')) ? folder : above(dirname(folder));
}

export const repository = above(import.meta.dirname);
