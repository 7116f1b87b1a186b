import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { restartPolicySchema, updatePolicySchema } from '#shared/protocol/desired.js';
import { openStoredDesired } from '#cloud/fleet/desired-envelope.js';
import { ReleaseRepository } from '#cloud/fleet/release-repository.js';
import { rolloutPolicySchema } from '#cloud/rollout/policy.js';
import { RolloutDrafts } from '#cloud/rollout/rollout-drafts.js';
import { insertVariants } from '#cloud/store/image-variants.js';
import { addressOf, bytesOf, capabilities } from '#test/support/fleet-world.js';
import { RolloutFleet } from './rollout-fleet.js';

let fleet: RolloutFleet;
beforeAll(async () => {
  fleet = await RolloutFleet.open(4);
});
afterAll(() => fleet.close());

const desired = async (device: string) => {
  const { envelope } = (await fleet.world.devices.findDesired(addressOf(device))) ?? {};
  return envelope ? openStoredDesired(envelope) : undefined;
};
const prefetched = async (): Promise<Record<string, string[]>> => {
  const found: Record<string, string[]> = {};
  for (const device of ['d0', 'd1', 'd2', 'd3']) {
    const names = ((await desired(device))?.prefetch ?? []).map(({ name, version }) => `${name}:${String(version)}`);
    if (names.length > 0) found[device] = names;
  }
  return found;
};
/** The device has what it was to fetch, and says so. */
const hold = async (device: string): Promise<void> => {
  const document = await desired(device);
  const digests = (document?.prefetch ?? []).map(({ digest }) => digest);
  const state = { generation: document?.generation, converged: true, modules: {}, prefetched: digests };
  await fleet.world.devices.update(addressOf(device), { reportedJson: JSON.stringify(state) });
};

describe('a rollout that prefetches', () => {
  it('has the next wave fetch its images, so many at once, while the first one changes', async () => {
    const waves = [{ count: 1 }, { count: 2 }];
    await fleet.start('vision:1', { waves, maxUnavailable: 1, prefetch: { wavesAhead: 1, atOnce: 1 } });
    await fleet.turn();
    const first = Object.keys(await prefetched());
    expect(Object.values(await prefetched())).toEqual([['detector:1']]);
    expect(await fleet.withStanding('changing')).not.toContain(first[0]);
    await hold(first[0] ?? '');
    await fleet.turn();
    await fleet.turn();
    expect(Object.keys(await prefetched())).toHaveLength(2);
    expect((await desired(first[0] ?? ''))?.modules).toEqual({});
  });

  it('asks who holds them to run them, and no more to hold them', async () => {
    await fleet.obey(...(await fleet.withStanding('changing')));
    await fleet.turn();
    const [changing = ''] = await fleet.withStanding('changing');
    expect((await desired(changing))?.prefetch).toEqual([]);
    expect(Object.keys((await desired(changing))?.modules ?? {})).toEqual(['detector']);
  });

  it('leaves nothing behind when it ends', async () => {
    expect(Object.keys(await prefetched()).length).toBeGreaterThan(0);
    await fleet.office.order({ workspace: 'w', number: 1 }, { kind: 'abort', running: true }, 'me');
    await fleet.turn();
    for (const device of ['d0', 'd1', 'd2', 'd3']) await fleet.obey(device);
    await fleet.turn();
    expect(await fleet.state()).toBe('aborted');
    expect(await prefetched()).toEqual({});
    const rows = await fleet.world.control.selectFrom('rolloutPrefetches').selectAll().execute();
    expect(rows).toEqual([]);
  });
});

describe('a release with an index, on a fleet with an old agent', () => {
  const at = '2026-01-01T00:00:00.000Z';
  beforeAll(async () => {
    const { control } = fleet.world;
    const { digest } = await fleet.world.addImage('eye', 1, [bytesOf(10, 9)]);
    await control.updateTable('images').set({ flavor: 'index' }).where('digest', '=', digest).execute();
    const detector = await control.selectFrom('images').select('digest').where('version', '=', 2).executeTakeFirst();
    await insertVariants(control, 'w', digest, [
      {
        name: 'detector',
        digest: detector?.digest ?? '',
        size: 1,
        accelerator: 'cpu',
        precision: 'int8',
        providers: ['cpu'],
      },
    ]);
    const terms = { policy: restartPolicySchema.parse({}), update: updatePolicySchema.parse({}) };
    const eye = { image: 'eye:1', settings: {}, requires: {}, ...terms };
    await new ReleaseRepository(control).create(
      'w',
      { name: 'eyes', description: '', atomic: false, modules: { eye } } as never,
      at,
    );
    for (const device of ['d0', 'd1', 'd2', 'd3']) {
      const features = device === 'd3' ? ['shadow'] : ['shadow', 'variants'];
      const { generation } = await fleet.desired(device);
      await fleet.report(device, {
        generation,
        converged: true,
        modules: {},
        capabilities: { ...capabilities, features },
      });
    }
  });

  it('is told of before it starts', async () => {
    const drafts = new RolloutDrafts(fleet.world.control, fleet.office);
    const policy = rolloutPolicySchema.parse({ waves: [] });
    const { unsupported } = await drafts.describe('w', 'eyes:1', fleet.fleet, policy);
    expect(unsupported).toEqual([{ feature: 'variants', count: 1, devices: ['d3'] }]);
    expect(await drafts.describe('w', 'vision:1', fleet.fleet, policy)).toMatchObject({ unsupported: [] });
  });

  it('is prefetched by those that know how to choose, and asked of the other in vain', async () => {
    const waves = [{ where: 'name = "d3"' }];
    const lenient = { failure: { maxPercent: 100 }, success: { minPercent: 0 } };
    await fleet.start('eyes:1', { waves, ...lenient, maxUnavailable: 1, prefetch: true });
    await fleet.turn();
    await fleet.turn();
    expect(Object.keys(await prefetched())).not.toContain('d3');
    const others = (await Promise.all(['d0', 'd1', 'd2'].map(desired))).map((one) => one?.prefetch ?? []);
    expect(others.flat().map(({ name, variants }) => [name, variants?.map(({ image }) => image.name)])).toContainEqual([
      'eye',
      ['detector'],
    ]);
    const row = await fleet.world.control
      .selectFrom('rolloutDevices')
      .selectAll()
      .where('device', '=', 'd3')
      .orderBy('rollout', 'desc')
      .executeTakeFirst();
    expect(row?.standing).toBe('failed');
    expect(JSON.stringify(row)).toContain('device.unsupported');
  });
});
