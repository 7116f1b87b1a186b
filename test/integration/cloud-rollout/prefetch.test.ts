import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openStoredDesired } from '#cloud/fleet/desired-envelope.js';
import { addressOf } from '#test/support/fleet-world.js';
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
