import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { FleetCloud } from '#test/support/fleet-cloud.js';
import { eventually } from '#test/support/fleet-world.js';
import { temporaryFolder } from '#test/support/temporary-folder.js';

const folder = temporaryFolder();
let world: FleetCloud;

beforeAll(async () => {
  world = await FleetCloud.start(folder('data'));
  // Known to the control plane, and none of them there.
  for (const name of ['cam-1', 'cam-2']) await world.addDevice(name, { online: name === 'cam-1' });
  await world.run('fleet', 'create', 'cams', '--where', 'name ~ "cam-*"');
});
afterAll(() => world.stop());

interface Answered {
  readonly number: number;
  readonly standings: Record<string, number>;
  readonly results: readonly { device: string; standing: string; problem?: { code: string } }[];
}

describe('flotilla command', () => {
  it('run waits for every device or the deadline, shows what became of each, and exits with 1 where one did not do it', async () => {
    const { exit, stdout, stderr } = await world.run('command', 'run', 'ping', '--fleet', 'cams', '--deadline', '1s');
    expect(exit).toBe(1);
    expect(stdout).toMatch(/^DEVICE +STATE +MS +ANSWER\ncam-1 +unreachable +\d+ +device.timeout: it is online and did/);
    expect(stdout).toMatch(/\ncam-2 +unreachable +- +device.offline: it has never connected and did not come back/);
    expect(stdout).toContain('\n2 unreachable of 2 devices\n');
    expect(stderr).toContain('2 of 2 devices did not do it (2 unreachable): flotilla command show 1 says why');
    const shown = await world.json<Answered>('command', 'show', '1');
    expect(shown).toMatchObject({ number: 1, standings: { unreachable: 2 } });
    expect(shown.results.map(({ problem }) => problem?.code)).toEqual(['device.timeout', 'device.offline']);
  });

  it('goes on after Ctrl-C, is listed, and is cancelled', async () => {
    const interrupt = new AbortController();
    const onText = (text: string): void => {
      if (text.includes('0 of 1')) interrupt.abort();
    };
    const args = ['command', 'run', 'restart', '--module', 'digits', '--where', 'name = "cam-2"', '--deadline', '1h'];
    const left = await world.runIn({ interrupt, onText, isTty: true }, ...args);
    expect(left.exit).toBe(130);
    expect(left.stderr).toContain('the command goes on; flotilla command show 2, or flotilla command cancel 2');
    expect((await world.run(...args)).stderr).toContain('command 2 has yet to restart cam-2');
    expect((await world.run('command', 'list')).stdout).toMatch(/\n2 +restart +'name = "cam-2"' +running +1 waiting/);
    expect(await world.run('command', 'cancel', '2')).toMatchObject({ exit: 0 });
    expect((await world.run('command', 'cancel', '2')).exit).toBe(5);
    await eventually('nobody has it', async () => {
      const { standings } = await world.json<Answered>('command', 'show', '2');
      return standings['cancelled'] === 1;
    });
    const entries = await world.json<{ detailsJson: string }[]>('audit', 'list', '--action', 'commands');
    const details = entries.map(({ detailsJson }) => JSON.parse(detailsJson) as object);
    expect(details).toContainEqual(expect.objectContaining({ command: 2, operation: 'restart', devices: 1 }));
  });

  it.each([
    [['run', 'ping'], 'which devices? give --fleet <fleet>'],
    [['run', 'ping', '--fleet', 'cams', '--where', 'name = "x"'], 'and not both'],
    [['run', 'ping', '--fleet', 'nobody'], 'nobody'],
    [['run', 'ping', '--where', 'name = "x"'], 'no device matches name = "x"'],
    [['run', 'ping', '--where', 'name ='], 'column'],
    [['run', 'restart', '--fleet', 'cams'], "required option '--module <name>'"],
    [['run', 'ping', '--fleet', 'cams', '--concurrency', '501'], 'from 1 to 500'],
    [['show', 'x'], 'flotilla command list shows them'],
  ])('%j is refused with what would help', async (args, message) => {
    const answer = await world.run('command', ...args);
    expect(answer.exit).toBeGreaterThan(1);
    expect(answer.stderr).toContain(message);
  });

  it('is given by contributors; readers see that it was, and not what devices answered', async () => {
    const { token } = await world.json<{ token: string }>('token', 'create', '--name', 'eye', '--role', 'reader');
    expect(await world.runAs(token, 'command', 'list')).toMatchObject({ exit: 0 });
    expect(await world.runAs(token, 'command', 'show', '1')).toMatchObject({ exit: 3 });
    expect(await world.runAs(token, 'command', 'cancel', '1')).toMatchObject({ exit: 3 });
    expect(await world.runAs(token, 'command', 'run', 'ping', '--fleet', 'cams')).toMatchObject({ exit: 3 });
  });
});
