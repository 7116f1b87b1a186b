import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { keptAnswerBytes, silentProblem, unsentProblem } from '#cloud/commands/command-model.js';
import type { JobDevice } from '#cloud/commands/command-repository.js';
import { eventually } from '#test/support/fleet-world.js';
import { CommandFleet } from './command-fleet.js';

let fleet: CommandFleet;
beforeEach(async () => {
  fleet = await CommandFleet.open();
});
afterEach(() => fleet.close());

const addDevices = async (count: number): Promise<void> => {
  for (let index = 1; index <= count; index++) await fleet.addDevice(`d${String(index).padStart(2, '0')}`);
};
const stateOf = async (number: number): Promise<string> =>
  (await fleet.commands.require({ workspace: 'w', number })).state;
const isOver = (number: number): Promise<void> =>
  eventually('it is over', async () => ['done', 'cancelled'].includes(await stateOf(number)));
const rows = async (number: number): Promise<readonly JobDevice[]> =>
  (await fleet.commands.devices({ workspace: 'w', number }, { limit: 500 })).items;
const countsOf = (number: number): Promise<Record<string, number>> => fleet.commands.counts({ workspace: 'w', number });
const passTime = (ms: number): void => {
  fleet.world.clock.nowMs += ms;
  fleet.runner.wake();
};

describe('a command to many devices', () => {
  it('is asked of so many at one time, and keeps what each answers', async () => {
    await addDevices(12);
    fleet.does = ({ device }) =>
      device === 'd03'
        ? { kind: 'failed', problem: { code: 'module.not-found', message: 'no module digits' } }
        : { kind: 'done', result: { device } };
    fleet.begin();
    const job = await fleet.office.start('w', fleet.order({ concurrency: 3 }), 'ops');
    await isOver(job.number);
    expect(fleet.mostAtWork).toBeLessThanOrEqual(3);
    expect(await countsOf(job.number)).toEqual({ done: 11, failed: 1 });
    const [first, , third] = await rows(job.number);
    expect(first).toMatchObject({ device: 'd01', answerJson: '{"device":"d01"}', problemJson: null });
    expect(JSON.parse(third?.problemJson ?? '')).toEqual({ code: 'module.not-found', message: 'no module digits' });
    expect((await fleet.commands.require(job)).endedAt).toBeDefined();
  });

  it('reaches who comes back in time; the others are unreachable by the deadline, with the reason', async () => {
    await addDevices(2);
    await fleet.addDevice('d-away', false);
    await fleet.addDevice('d-comes', false);
    fleet.does = ({ device }) => (device === 'd02' ? 'silent' : { kind: 'done', result: null });
    fleet.begin();
    const job = await fleet.office.start('w', fleet.order(), 'ops');
    await eventually('those that are there have it', async () => (await countsOf(1))['waiting'] === 2);
    await fleet.presence('d-comes', true);
    await eventually('it has answered', async () => (await countsOf(1))['done'] === 2);
    passTime(31_000);
    await eventually('the silent one is given up', async () => (await countsOf(1))['unreachable'] === 1);
    expect(await stateOf(1)).toBe('running');
    passTime(30_000);
    await isOver(job.number);
    const reasons = Object.fromEntries(
      (await rows(1)).map(({ device, standing, problemJson }) => [device, problemJson ?? standing]),
    );
    expect(reasons).toMatchObject({ d01: 'done', 'd-comes': 'done' });
    expect(reasons['d02']).toContain('it is online and did not answer within 31 s');
    expect(reasons['d-away']).toContain('it has never connected and did not come back within 60 s');
  });

  it('is sent again to a device that was cut off, and counts the first answer', async () => {
    await addDevices(1);
    fleet.does = () => 'silent';
    fleet.begin();
    await fleet.office.start('w', fleet.order(), 'ops');
    await eventually('it was sent', () => fleet.runs.get('d01') === 1);
    fleet.does = () => ({ kind: 'done', result: 'again' });
    fleet.world.clock.nowMs += 1000;
    await fleet.presence('d01', true);
    await isOver(1);
    expect(await rows(1)).toMatchObject([{ standing: 'done', answerJson: '"again"' }]);
  });

  it('is cancelled: nobody further gets it, and who has it may still answer', async () => {
    await addDevices(5);
    await fleet.addDevice('d-away', false);
    fleet.does = () => 'silent';
    fleet.begin();
    const job = await fleet.office.start('w', fleet.order({ concurrency: 2 }), 'ops');
    await eventually('two have it', async () => (await countsOf(1))['sent'] === 2);
    expect((await fleet.office.cancel(job)).state).toBe('cancelling');
    await eventually('the others are out', async () => (await countsOf(1))['cancelled'] === 4);
    passTime(31_000);
    await isOver(1);
    expect(await stateOf(1)).toBe('cancelled');
    expect(await countsOf(1)).toEqual({ cancelled: 4, unreachable: 2 });
    await expect(fleet.office.cancel(job)).rejects.toMatchObject({ code: 'command.ended' });
  });

  it('is refused where it makes no sense, before anything is written', async () => {
    fleet.begin();
    await expect(fleet.office.start('w', fleet.order(), 'ops')).rejects.toThrow('no device matches name ~ "d*"');
    await addDevices(2);
    fleet.does = () => 'silent';
    const bad = fleet.order({ arguments: { modul: 'digits' } });
    await expect(fleet.office.start('w', bad, 'ops')).rejects.toMatchObject({ code: 'request.invalid' });
    await fleet.office.start('w', fleet.order({ where: 'name = "d02"' }), 'ops');
    await expect(fleet.office.start('w', fleet.order(), 'ops')).rejects.toThrow('command 1 has yet to restart d02');
    for (let more = 0; more < 19; more++) {
      await fleet.office.start('w', fleet.order({ operation: 'ping', arguments: {} }), 'ops');
    }
    await expect(
      fleet.office.start('w', fleet.order({ operation: 'ping', arguments: {} }), 'ops'),
    ).rejects.toMatchObject({ code: 'command.busy' });
  });

  it('keeps no answers beyond the room that it has for them, and says so', async () => {
    await addDevices(1);
    fleet.begin();
    await fleet.presence('d01', false);
    const job = await fleet.office.start('w', fleet.order(), 'ops');
    await fleet.commands.addAnswerBytes(job, keptAnswerBytes);
    await fleet.presence('d01', true);
    await isOver(1);
    expect(await rows(1)).toMatchObject([
      { standing: 'done', answerJson: null, problemJson: expect.stringContaining('message.too-large') as string },
    ]);
  });

  it('says of each that has not answered why, in the words that fit', () => {
    const seen = { online: true, presenceAt: '2026-01-01T00:00:00.000Z', retired: false };
    expect(unsentProblem('d1', seen, 60_000).message).toContain('its turn did not come within 60 s');
    expect(unsentProblem('d1', { ...seen, retired: true }, 60_000)).toMatchObject({ code: 'device.retired' });
    expect(silentProblem({ ...seen, online: false }, 500).message).toBe(
      'it was last seen at 2026-01-01T00:00:00.000Z and did not answer within 0.5 s',
    );
  });
});

describe('a control plane that is killed at any message', () => {
  it('has every device do it once, and forgets none', async () => {
    const kill = fc.record({ message: fc.integer({ min: 0, max: 5 }), after: fc.boolean() });
    let number = 0;
    await addDevices(6);
    await fc.assert(
      fc.asyncProperty(
        fc.array(kill, { minLength: 1, maxLength: 3 }),
        fc.constantFrom(1, 2, 6),
        async (kills, concurrency) => {
          fleet.runs.clear();
          fleet.does = () => ({ kind: 'done', result: null });
          fleet.begin(kills[0]);
          await fleet.office.start('w', fleet.order({ concurrency }), 'ops');
          number += 1;
          for (const next of [...kills.slice(1), undefined]) {
            await eventually('it is killed, or done', async () => fleet.isDead || (await stateOf(number)) === 'done');
            await fleet.end();
            fleet.begin(next);
          }
          await isOver(number);
          await fleet.end();
          expect(await countsOf(number)).toEqual({ done: 6 });
          expect(new Set(fleet.runs.values())).toEqual(new Set([1]));
          expect(fleet.runs.size).toBe(6);
        },
      ),
      { numRuns: 10 },
    );
  });
});
