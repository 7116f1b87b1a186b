/** The built control plane on a data folder that an administrator made beforehand, open for all to read. */
import { mkdir, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { World } from '#test/support/world.js';

describe('a data folder that others may look into', () => {
  it('shows them no file and no folder of the control plane', async () => {
    const world = await World.create();
    try {
      await mkdir(world.dataDir, { mode: 0o755 });
      await world.open();
      await world.flotilla('device', 'token');
      const open: string[] = [];
      for (const name of await readdir(world.dataDir, { recursive: true })) {
        const { mode } = await stat(join(world.dataDir, name));
        if ((mode & 0o077) !== 0) open.push(name);
      }
      expect(open).toEqual([]);
    } finally {
      await world.close();
    }
  }, 60_000);
});
