import { readdir } from 'node:fs/promises';
import { request } from 'node:http';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { World } from '../support/world.js';

interface Entry {
  readonly action: string;
  readonly outcome: string;
  readonly actorName: string;
}

describe('the audit log of a control plane that was killed', () => {
  let world: World;
  beforeAll(async () => {
    world = await World.create();
    await world.open();
  });
  afterAll(() => world.close());

  it('tells of the change that was under way, and its chain holds', async () => {
    await world.flotilla('workspace', 'create', 'plant');
    // An upload that never ends: announced, begun, and not answered.
    const upload = request(`${world.url}/v1/workspaces/plant/blobs/sha256:${'0'.repeat(64)}`, {
      method: 'PUT',
      headers: {
        authorization: `Bearer ${world.ownerToken}`,
        'content-type': 'application/octet-stream',
        'content-length': '1000',
      },
    });
    const cut = new Promise<void>((resolve) => upload.once('error', () => resolve()));
    upload.write('some');
    const uploads = join(world.dataDir, 'blobs/uploads');
    await world.cloud?.until('taking the upload', 10_000, async () =>
      (await readdir(uploads)).length > 0 ? true : undefined,
    );
    world.cloud?.kill('SIGKILL');
    await world.cloud?.exited;
    await cut;

    await world.startCloud();
    const entries = (await world.flotillaJson('audit', 'list', '--installation')) as Entry[];
    expect(entries.map(({ action, outcome }) => `${outcome} ${action}`)).toEqual([
      'interrupted PUT /v1/workspaces/:workspace/blobs/:digest',
      'done POST /v1/workspaces',
    ]);
    expect(entries[0]?.actorName).toBe('owner');
    expect(await world.flotilla('audit', 'verify')).toContain('2 entries, each as it was written');
  });
});
