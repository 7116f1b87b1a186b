import { sql } from 'kysely';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { emptyReportedState } from '#shared/protocol/reported.js';
import { DeviceFacts } from '#cloud/fleet/device-facts.js';
import { DeviceSearch, matchingDevices } from '#cloud/fleet/device-search.js';
import { matchesGlob } from '#cloud/fleet/query/glob.js';
import { parseQuery } from '#cloud/fleet/query/parse-query.js';
import { addressOf, capabilities, FleetWorld } from '#test/support/fleet-world.js';

let world: FleetWorld;
beforeEach(async () => {
  world = await FleetWorld.open();
});
afterEach(() => world.close());

const found = async (where: string): Promise<string[]> =>
  (await new DeviceSearch(world.control).page('w', parseQuery(where), 100)).map(({ name }) => name);

describe('what queries know of a device', () => {
  it('is there from its enrolment on, follows its reports and its tags, and ends with it', async () => {
    await world.enrol('cam-1');
    await world.enrol('cam-2');
    expect(await found('capabilities.cpus = 2 and capabilities.agentVersion >= "0.1"')).toEqual(['cam-1', 'cam-2']);

    const digits = { active: { digest: `sha256:${'a'.repeat(64)}`, version: 7, state: 'running' as const } };
    const state = { ...emptyReportedState, converged: true, modules: { digits } };
    await world.devices.update(addressOf('cam-1'), { reportedJson: JSON.stringify(state) });
    expect(await found('modules.digits.version >= 7 and converged')).toEqual(['cam-1']);
    expect(await found('capabilities.cpus = 2')).toEqual(['cam-2']);

    await world.devices.update(addressOf('cam-1'), { reportedJson: JSON.stringify(emptyReportedState) });
    expect(await found('modules.digits')).toEqual([]);

    await world.devices.update(addressOf('cam-2'), { tagsJson: '{"site":"north"}' });
    expect(await found('site = "north" and capabilities.cpus = 2')).toEqual(['cam-2']);
    await world.twin.retire(addressOf('cam-2'));
    expect(await found('site = "north"')).toEqual([]);
  });

  it('is converged only for the newest generation', async () => {
    await world.enrol('cam-1');
    await world.addImage('digits', 1, []);
    const say = (generation: number): Promise<void> =>
      world.devices.update(addressOf('cam-1'), {
        reportedJson: JSON.stringify({ ...emptyReportedState, generation, converged: true }),
      });
    const policy = { restart: 'always', maxRestarts: 1, windowSeconds: 1 } as const;
    await world.twin.deploy(addressOf('cam-1'), 'digits', { image: 'digits:1', settings: {}, policy });
    expect(await found('converged')).toEqual([]);
    await say(1);
    expect(await found('converged')).toEqual(['cam-1']);
    await world.twin.undeploy(addressOf('cam-1'), 'digits');
    expect(await found('converged')).toEqual([]);
  });

  it('is made at a start for devices of an older version, unreadable reports aside', async () => {
    await world.enrol('cam-1');
    await world.enrol('cam-2');
    await world.control.deleteFrom('deviceFacts').execute();
    await world.control.updateTable('devices').set({ factsVersion: 0, tagsJson: '{"site":"north"}' }).execute();
    await world.control.updateTable('devices').set({ reportedJson: '{}' }).where('name', '=', 'cam-2').execute();
    const facts = new DeviceFacts(world.control);
    expect(await facts.bringUpToDate()).toBe(2);
    expect(await found('site = "north"')).toEqual(['cam-1', 'cam-2']);
    expect(await found(`capabilities.hostname = "${capabilities.hostname}"`)).toEqual(['cam-1']);
    expect(await facts.bringUpToDate()).toBe(0);
  });
});

describe('a pattern', () => {
  it('means in the database what it means in the language: only the star is special', async () => {
    const texts = [
      '',
      'a',
      'ab',
      'a*b',
      '[a]',
      '[a]b',
      '?',
      'a?',
      '^',
      ']',
      'Ab',
      'a-b',
      '[^a]',
      'aab',
      'äb',
      '%',
      '_',
    ];
    const patterns = [
      '',
      '*',
      'a*',
      '*b',
      'a*b',
      '[a]*',
      '[*',
      '*]',
      '?',
      'a?',
      '*?*',
      '[^a]',
      'a*a*b',
      '**',
      '%',
      '_',
    ];
    for (const [index, text] of texts.entries()) {
      const name = `d${String(index).padStart(2, '0')}`;
      await world.enrol(name);
      await world.devices.update(addressOf(name), { tagsJson: JSON.stringify({ x: text }) });
    }
    for (const pattern of patterns) {
      const expected = texts.flatMap((text, index) =>
        matchesGlob(text, pattern) ? [`d${String(index).padStart(2, '0')}`] : [],
      );
      expect(await found(`x ~ "${pattern}"`), pattern).toEqual(expected);
    }
    expect(matchesGlob('a*b', 'a*b') && matchesGlob('[a]b', '[a]*') && !matchesGlob('ab', '[a]*')).toBe(true);
    expect(matchesGlob('ab', 'a*b*b')).toBe(false);
  });
});

describe('the plan of the database', () => {
  it.each([
    'site = "north" and line in (3, "4") and capabilities.gpu and not online',
    'not (site = "north" or line > 50) and converged',
    'capabilities.agentVersion >= "0.1" and modules.digits.version < 3',
    'name ~ "cam-*" and not release = "vision:2"',
    'refused',
  ])('walks the names in order and looks every fact up in an index: %s', async (where) => {
    const query = matchingDevices(world.control, 'w', parseQuery(where)).select('name').orderBy('name').limit(100);
    const steps = (await query.explain<{ detail: string }>(undefined, sql`query plan`)).map(({ detail }) => detail);
    expect(steps[0]).toMatch(/^SEARCH devices USING (COVERING )?INDEX devicesInService \(workspace=\?/);
    for (const step of steps.filter((detail) => detail.includes('deviceFacts'))) {
      expect(step).toMatch(
        /^SEARCH deviceFacts USING COVERING INDEX deviceFactsBy(Text|Number) \(workspace=\? AND name=\?/,
      );
    }
    expect(steps.join('\n')).not.toMatch(/SCAN|TEMP B-TREE/);
  });
});
