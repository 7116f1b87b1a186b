import { expect, test, vi } from 'vitest';
import { addressOf } from '#test/support/fleet-world.js';
import { RolloutFleet } from './rollout-fleet.js';

test('a large wave is asked in many commits after one look, each device once', async () => {
  const fleet = await RolloutFleet.open(180);
  try {
    await fleet.start('vision:1', { waves: [], maxUnavailable: '100%' });
    const controller = fleet.controller();
    const look = vi.spyOn(controller, 'look');
    controller.wake();
    await controller.idle();
    await controller.stop();
    expect(await fleet.withStanding('changing')).toHaveLength(180);
    const { items } = await fleet.rollouts.history({ workspace: 'w', number: 1 }, { limit: 400 });
    expect(items.filter(({ kind }) => kind === 'changing')).toHaveLength(180);
    expect((await fleet.world.devices.find(addressOf('d179')))?.desiredGeneration).toBe(1);
    // The last one finds that nothing is left to do.
    expect(look).toHaveBeenCalledTimes(2);
  } finally {
    await fleet.close();
  }
});
