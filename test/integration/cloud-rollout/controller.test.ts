import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ImageRepository } from '#cloud/store/image-repository.js';
import { restartPolicySchema } from '#shared/protocol/desired.js';
import { addressOf, bytesOf } from '#test/support/fleet-world.js';
import { addDevice, RolloutFleet } from './rollout-fleet.js';

let fleet: RolloutFleet;
beforeEach(async () => {
  fleet = await RolloutFleet.open(6);
});
afterEach(() => fleet.close());

const rollout = { workspace: 'w', number: 1 };
const allAtOnce = { waves: [], maxUnavailable: '100%' };
const order = (kind: 'pause' | 'resume' | 'approve' | 'rollback') => fleet.office.order(rollout, { kind }, 'somebody');

describe('a rollout', () => {
  it('asks wave after wave, each device once, and succeeds when all run it', async () => {
    await fleet.start('vision:1', { waves: [{ count: 1 }, { percent: 50 }], maxUnavailable: 2 });
    await fleet.turn();
    const [first = ''] = await fleet.withStanding('changing');
    expect(await fleet.withStanding('changing')).toEqual([first]);
    expect(await fleet.desired(first)).toEqual({ generation: 1, release: 'vision:1' });
    for (let turn = 0; turn < 8; turn++) {
      const changing = await fleet.withStanding('changing');
      expect(changing.length).toBeLessThanOrEqual(2);
      await fleet.obey(...changing);
      await fleet.turn();
    }
    expect(await fleet.state()).toBe('succeeded');
    expect(await fleet.withStanding('succeeded')).toHaveLength(6);
    for (let index = 0; index < 6; index++) {
      expect(await fleet.desired(`d${String(index)}`)).toEqual({ generation: 1, release: 'vision:1' });
    }
    expect(await fleet.world.outbox.count()).toBe(6);
  });

  it('tells live what happens to it and its devices, and keeps it as history', async () => {
    await fleet.start('vision:1', allAtOnce);
    await fleet.turn();
    await fleet.obey(...(await fleet.withStanding('changing')));
    await fleet.turn();
    const types = new Set(fleet.world.seen.map(({ type }) => type));
    expect(types).toContain('rollout.changed');
    expect(types).toContain('rollout.device');
    const { items } = await fleet.rollouts.history(rollout, { limit: 100 });
    expect(items[0]).toMatchObject({ kind: 'succeeded', text: 'the rollout is over: succeeded' });
    expect(items.filter(({ kind, device }) => kind === 'changing' && device === 'd0')).toEqual([
      expect.objectContaining({ text: 'asked for vision:1, generation 1' }),
    ]);
    const next = await fleet.rollouts.history(rollout, { limit: 1 });
    expect(next.next).toBeDefined();
  });

  it('stops at the canary that fails, and nobody else is touched', async () => {
    await fleet.start('vision:1', { waves: [{ count: 1 }] });
    await fleet.turn();
    const [canary = ''] = await fleet.withStanding('changing');
    await fleet.reject(canary);
    await fleet.turn();
    expect(await fleet.rollouts.require(rollout)).toMatchObject({
      rollout: { state: 'paused', reason: { code: 'failures', text: '1 of 1 failed in wave 1, more than 10%' } },
    });
    expect(await fleet.withStanding('queued')).toHaveLength(5);
    await order('resume');
    await fleet.turn();
    expect((await fleet.rollouts.require(rollout)).rollout).toMatchObject({ state: 'running', wave: 1 });
  });

  it('tries again what may succeed later, with a new generation', async () => {
    const retries = { later: { attempts: 1, backoffSeconds: 60 } };
    await fleet.start('vision:1', { waves: [{ count: 1 }], retries });
    await fleet.turn();
    const [device = ''] = await fleet.withStanding('changing');
    await fleet.reject(device, 'golden.too-slow');
    await fleet.turn();
    const { plan } = await fleet.controller().look(await fleet.rollouts.require(rollout));
    expect(plan.waiting).toContainEqual(expect.objectContaining({ device, kind: 'retry' }));
    fleet.world.clock.nowMs += 60_000;
    await fleet.turn();
    expect(await fleet.desired(device)).toEqual({ generation: 2, release: 'vision:1' });
    await fleet.obey(device);
    await fleet.turn();
    expect((await fleet.standings())[device]).toBe('succeeded');
  });

  it('rolls back by itself: each device to exactly what it had', async () => {
    const policy = restartPolicySchema.parse({});
    await fleet.world.twin.deploy(addressOf('d0'), 'old', { image: 'detector:3', settings: { a: 1 }, policy });
    await fleet.start('vision:1', { ...allAtOnce, onFailure: 'rollback' });
    await fleet.turn();
    await fleet.obey('d0', 'd1');
    for (const device of ['d2', 'd3', 'd4', 'd5']) await fleet.reject(device);
    await fleet.turn();
    expect(await fleet.state()).toBe('ending');
    expect(await fleet.withStanding('returning')).toHaveLength(6);
    expect(await fleet.world.deployments.listCurrentOf(addressOf('d0'))).toEqual([
      expect.objectContaining({
        module: 'old',
        settings: { a: 1 },
        image: expect.objectContaining({ version: 3 }) as object,
      }),
    ]);
    expect(await fleet.world.deployments.listCurrentOf(addressOf('d1'))).toEqual([]);
    await fleet.obey('d0', 'd1', 'd2', 'd3', 'd4', 'd5');
    await fleet.turn();
    expect(await fleet.state()).toBe('rolled-back');
    expect(await fleet.desired('d0')).toEqual({ generation: 3, release: '' });
  });

  it('that is over is rolled back to the release before, except where somebody has deployed since', async () => {
    for (const release of ['vision:1', 'vision:2']) {
      await fleet.start(release, allAtOnce);
      await fleet.turn();
      await fleet.obey('d0', 'd1', 'd2', 'd3', 'd4', 'd5');
      await fleet.turn();
    }
    const policy = restartPolicySchema.parse({});
    await fleet.world.twin.deploy(addressOf('d3'), 'detector', { image: 'detector:3', settings: {}, policy });
    await fleet.office.order({ workspace: 'w', number: 2 }, { kind: 'rollback' }, 'somebody');
    await fleet.turn();
    expect(await fleet.desired('d1')).toMatchObject({ release: 'vision:1', generation: 3 });
    expect(await fleet.desired('d3')).toMatchObject({ release: '', generation: 3 });
    await fleet.obey('d0', 'd1', 'd2', 'd4', 'd5');
    await fleet.turn();
    expect(await fleet.state(2)).toBe('rolled-back');
    expect((await fleet.standings(2))['d3']).toBe('overtaken');
  });

  it('that is over is rolled back although its release was deleted since', async () => {
    await fleet.start('vision:1', allAtOnce);
    await fleet.turn();
    await fleet.obey('d0', 'd1', 'd2', 'd3', 'd4', 'd5');
    await fleet.turn();
    await fleet.world.control.deleteFrom('releaseModules').where('version', '=', 1).execute();
    await fleet.world.control.updateTable('releases').set({ deletedAt: 'now' }).where('version', '=', 1).execute();
    await order('rollback');
    await fleet.turn();
    await fleet.obey('d0', 'd1', 'd2', 'd3', 'd4', 'd5');
    await fleet.turn();
    expect(await fleet.state()).toBe('rolled-back');
  });

  it('aborts: devices under way end, or go back where that is asked', async () => {
    await fleet.start('vision:1', { waves: [], maxUnavailable: 2 });
    await fleet.turn();
    const [one = '', two = ''] = await fleet.withStanding('changing');
    await fleet.obey(one);
    await fleet.office.order(rollout, { kind: 'abort', running: true }, 'somebody');
    await fleet.turn();
    expect(await fleet.standings()).toMatchObject({ [one]: 'succeeded', [two]: 'returning' });
    expect(await fleet.withStanding('cancelled')).toHaveLength(4);
    await fleet.obey(two);
    await fleet.turn();
    expect(await fleet.state()).toBe('aborted');
    await expect(order('pause')).rejects.toMatchObject({ code: 'rollout.state' });
  });

  it('waits for approval, pauses and goes on', async () => {
    await fleet.start('vision:1', { waves: [{ count: 1, approval: true }], maxUnavailable: 1 });
    await fleet.turn();
    await fleet.obey(...(await fleet.withStanding('changing')));
    await fleet.turn();
    await fleet.turn();
    expect(await fleet.withStanding('changing')).toEqual([]);
    await order('approve');
    await fleet.turn();
    expect(await fleet.withStanding('changing')).toHaveLength(1);
    await order('pause');
    await fleet.obey(...(await fleet.withStanding('changing')));
    await fleet.turn();
    expect(await fleet.withStanding('changing')).toEqual([]);
    expect(await fleet.withStanding('succeeded')).toHaveLength(2);
    await order('resume');
    await fleet.turn();
    expect(await fleet.withStanding('changing')).toHaveLength(1);
  });

  it('takes who joins the fleet, and lets off who leaves it', async () => {
    await fleet.start('vision:1', { waves: [], maxUnavailable: 1 });
    await fleet.turn();
    await addDevice(fleet.world, 'd9');
    const left = (await fleet.withStanding('queued'))[0] ?? '';
    await fleet.world.control.updateTable('devices').set({ retiredAt: 'now' }).where('name', '=', left).execute();
    await fleet.turn();
    expect(await fleet.standings()).toMatchObject({ d9: 'queued', [left]: 'gone' });
  });
});

describe('two rollouts', () => {
  it('do not have one device: the second is refused with the names, or supersedes the first', async () => {
    await fleet.start('vision:1', { waves: [], maxUnavailable: 1 });
    await fleet.turn();
    const [changing = ''] = await fleet.withStanding('changing');
    await expect(fleet.start('vision:2')).rejects.toMatchObject({
      code: 'rollout.conflict',
      details: { rollouts: [1], count: 6 },
    });
    await fleet.start('vision:2', allAtOnce, true);
    expect(await fleet.state(1)).toBe('superseded');
    expect((await fleet.standings(1))[changing]).toBe('overtaken');
    await fleet.turn();
    expect(await fleet.desired(changing)).toEqual({ generation: 2, release: 'vision:2' });
    // What it was on its way to was never proved: a rollback leads to before that.
    await fleet.office.order({ workspace: 'w', number: 2 }, { kind: 'rollback' }, 'somebody');
    await fleet.turn();
    expect(await fleet.desired(changing)).toEqual({ generation: 3, release: '' });
  });

  it('cannot have one device in the database either', async () => {
    await fleet.start('vision:1');
    await expect(fleet.rows.insert({ workspace: 'w', number: 1 }, [{ device: 'd0', wave: 0 }])).rejects.toThrow();
    await fleet.rollouts.insert({ ...(await fleet.rollouts.require(rollout)), number: 2 });
    await expect(fleet.rows.insert({ workspace: 'w', number: 2 }, [{ device: 'd0', wave: 0 }])).rejects.toThrow(
      /UNIQUE/,
    );
  });
});

describe('two control planes over one database', () => {
  it('carry out each step once: who read an older state is refused', async () => {
    await fleet.start('vision:1', allAtOnce);
    await Promise.all([fleet.turn(), fleet.turn(), fleet.turn()]);
    for (let index = 0; index < 6; index++) {
      expect(await fleet.desired(`d${String(index)}`)).toEqual({ generation: 1, release: 'vision:1' });
    }
    const { items } = await fleet.rollouts.history(rollout, { limit: 100 });
    expect(items.filter(({ kind }) => kind === 'changing')).toHaveLength(6);
  });
});

describe('what cannot be carried out', () => {
  it('deleting an image to which devices may be led back is refused until something else changed them', async () => {
    const policy = restartPolicySchema.parse({});
    const image = await fleet.world.addImage('old', 1, [bytesOf(10, 9)]);
    await fleet.world.twin.deploy(addressOf('d0'), 'old', { image: 'old:1', settings: {}, policy });
    await fleet.start('vision:1', allAtOnce);
    await fleet.turn();
    const images = new ImageRepository(fleet.world.control);
    expect(await images.delete('w', image.digest, 'now')).toEqual({ kind: 'led-back-to', devices: ['d0'] });
    await fleet.obey('d0', 'd1', 'd2', 'd3', 'd4', 'd5');
    await fleet.turn();
    expect(await fleet.state()).toBe('succeeded');
    expect(await images.delete('w', image.digest, 'now')).toEqual({ kind: 'led-back-to', devices: ['d0'] });
    await fleet.world.twin.deploy(addressOf('d0'), 'more', { image: 'detector:2', settings: {}, policy });
    expect(await images.delete('w', image.digest, 'now')).toEqual({ kind: 'deleted' });
  });

  it('an image that is gone fails its devices, and the rollout pauses', async () => {
    await fleet.start('vision:1', { waves: [], maxUnavailable: '100%' });
    await fleet.world.control.updateTable('images').set({ deletedAt: 'now' }).where('version', '=', 1).execute();
    await fleet.turn();
    expect(await fleet.state()).toBe('paused');
    expect((await fleet.withStanding('failed')).length).toBeGreaterThan(0);
    expect(await fleet.world.outbox.count()).toBe(0);
  });

  it('an empty fleet, a release that is on its way and a rollout that is not there', async () => {
    await fleet.start('vision:1');
    await expect(fleet.rollouts.require({ workspace: 'w', number: 9 })).rejects.toMatchObject({
      code: 'rollout.not-found',
    });
    await fleet.world.control.updateTable('devices').set({ retiredAt: 'now' }).execute();
    await expect(fleet.start('vision:2')).rejects.toMatchObject({ code: 'request.invalid' });
  });
});
