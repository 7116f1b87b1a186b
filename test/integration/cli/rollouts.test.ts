import { writeFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Terminal } from '#cloud/cli/screen/terminal-screen.js';
import { FleetCloud } from '#test/support/fleet-cloud.js';
import { eventually } from '#test/support/fleet-world.js';
import { temporaryFolder } from '#test/support/temporary-folder.js';

const folder = temporaryFolder();
let world: FleetCloud;

interface Shown {
  readonly state: string;
  readonly number: number;
  readonly wave: number;
  readonly waves: readonly { standings: Record<string, number> }[];
}

beforeAll(async () => {
  world = await FleetCloud.start(folder('data'));
  for (const version of [1, 2]) {
    await world.addImage('detector', version);
    await world.run('release', 'create', 'vision', '--module', `detector:${String(version)}`);
  }
  for (const name of ['cam-1', 'cam-2', 'cam-3']) {
    await world.addDevice(name, { online: true, tags: name === 'cam-2' ? { canary: 'yes' } : {} });
  }
  await world.run('fleet', 'create', 'cams', '--where', 'name ~ "cam-*"');
});
afterAll(() => world.stop());

const file = async (text: string): Promise<string> => {
  const path = folder('policy.yaml');
  await writeFile(path, text);
  return path;
};
/** A terminal of that size, with all that was ever written to it. */
const paintedOn = (columns: number, rows: number, onText: (text: string) => void) => {
  let written = '';
  const never = (): (() => void) => () => undefined;
  const terminal: Terminal = {
    ...{ colors: false, size: () => ({ columns, rows }), onResize: never, onExit: never },
    write: (text) => {
      written += text;
      onText(written);
    },
  };
  return { terminal, text: () => written };
};
const of = (version: number): string[] => ['--release', `vision:${String(version)}`, '--fleet', 'cams'];
const show = (number: number): Promise<Shown> => world.json('rollout', 'show', String(number));
const isAsked = async (device: string, release: string): Promise<void> =>
  eventually(`${device} is asked for ${release}`, async () => {
    const { desired } = await world.json<{ desired: { release?: string } }>('device', 'show', device);
    return desired.release === release;
  });
const obey = async (device: string): Promise<void> => {
  const { desired } = await world.json<{ desired: { generation: number } }>('device', 'show', device);
  await world.report(device, { generation: desired.generation, converged: true, modules: {} });
};

describe('flotilla rollout', () => {
  it('plan says what would happen, and changes nothing', async () => {
    const policy = await file('waves:\n  - where: canary\n    approval: true\nmaxUnavailable: 1\n');
    const { stdout } = await world.run('rollout', 'plan', ...of(1), '--policy', policy);
    expect(stdout).toMatch(/fleet +cams, 3 devices/);
    expect(stdout).toMatch(/bytes +1000 B for .*, at most 2.9 KiB in all/);
    expect(stdout).toMatch(/takes +about 3 min, at 60 s for a device \(assumed/);
    expect(stdout).toMatch(/without +approvals, freeze periods/);
    expect(stdout).toMatch(/\n1 +1 +0 +- +yes +cam-2\n2 +2 +0/);
    expect(await world.json('rollout', 'list')).toEqual([]);
  });

  it('start asks the canary first; explain says what the others wait for; approve lets them go', async () => {
    const policy = await file('waves: [{where: canary, approval: true}]\nmaxUnavailable: 1\n');
    expect(await world.json('rollout', 'start', ...of(1), '--policy', policy)).toMatchObject({ number: 1 });
    const watching = world.run('rollout', 'watch', '1');
    await isAsked('cam-2', 'vision:1');
    const waits = await world.json<{ items: object[] }>('rollout', 'explain', '1');
    expect(waits.items).toMatchObject([
      { device: 'cam-1', kind: 'wave', detail: '2' },
      { device: 'cam-2', kind: 'device' },
      { device: 'cam-3', kind: 'wave' },
    ]);
    await obey('cam-2');
    await eventually('approval is waited for', async () =>
      (await world.run('rollout', 'explain', '1')).stdout.includes('flotilla rollout approve'),
    );
    expect((await world.run('rollout', 'approve', '1')).exit).toBe(0);
    await eventually('all run it', async () => {
      for (const device of ['cam-1', 'cam-3']) {
        const { desired } = await world.json<{ desired: { release?: string } }>('device', 'show', device);
        if (desired.release === 'vision:1') await obey(device);
      }
      return (await show(1)).state === 'succeeded';
    });
    const { exit, stdout } = await watching;
    expect({ exit, stdout }).toMatchObject({ exit: 0, stdout: expect.stringContaining('3 succeeded') as string });
    expect((await world.run('rollout', 'show', '1')).stdout).toContain('the rollout is over: succeeded');
  });

  it('pause, abort and rollback are obeyed, and refused where they make no sense', async () => {
    await world.json('rollout', 'start', ...of(2), '--policy', await file('waves: []\nmaxUnavailable: 1\n'));
    const clash = await world.run('rollout', 'start', ...of(1));
    expect(clash).toMatchObject({ exit: 5, stdout: '' });
    expect(clash.stderr).toContain('rollout 2 holds cam-1, cam-2, cam-3');
    expect(await world.run('release', 'delete', 'vision:2')).toMatchObject({ exit: 5 });
    expect((await world.run('rollout', 'pause', '2')).stdout).toMatch(/next +flotilla rollout resume 2 goes on/);
    expect(await world.run('rollout', 'pause', '2')).toMatchObject({ exit: 5 });
    const interrupt = new AbortController();
    const painted = paintedOn(80, 24, (text) => {
      if (text.includes('paused')) interrupt.abort();
    });
    const watching = await world.runIn({ terminal: painted.terminal, interrupt }, 'rollout', 'watch', '2');
    expect(painted.text()).toMatch(/rollout 2 {2}vision:2 over cams.*paused by a person/s);
    expect(painted.text().endsWith('\u001b[?1049l')).toBe(true);
    expect(watching).toMatchObject({ exit: 130, stdout: expect.stringMatching(/state +paused/) as string });
    expect(watching.stderr).toContain('the rollout goes on; flotilla rollout watch 2');
    expect((await show(2)).state).toBe('paused');
    await world.run('rollout', 'rollback', '2');
    await eventually('nothing is on its way', async () => {
      const { standings } = (await show(2)).waves[0] ?? { standings: {} };
      return (standings['changing'] ?? 0) === 0;
    });
    for (const device of ['cam-1', 'cam-2', 'cam-3']) await obey(device);
    const watched = await world.run('rollout', 'watch', '2');
    expect(watched).toMatchObject({ exit: 1 });
    expect(watched.stderr).toContain('rollout 2 is rolled-back');
    for (const device of ['cam-1', 'cam-2', 'cam-3']) await isAsked(device, 'vision:1');
  });

  it.each([
    ['layers: []\n', 'a policy says nothing of layers, each says for which devices it is; leave it out'],
    ['windows: [{cron: "0 2 * *", durationSeconds: 60}]\n', 'windows.0.cron'],
    ['wave: []\n', 'there is no field wave; did you mean waves?'],
    ['waves: [{cuont: 1}]\n', 'did you mean waves.0.count?'],
    ['waves: [{count: 1, percent: 2}]\n', 'give one of where (a query), percent'],
    ['waves: [{percent: 20}, {percent: 10}]\n', 'it must rise from wave to wave'],
    ['waves: [{count: 1}, {where: canary}]\n', 'only the first wave takes where'],
    ['waves: [{where: "site ="}]\n', 'column'],
    ['maxUnavailable: 0\n', 'maxUnavailable'],
  ])('refuses the policy %j', async (text, message) => {
    const answer = await world.run('rollout', 'plan', ...of(1), '--policy', await file(text));
    expect(answer).toMatchObject({ exit: 2, stdout: '' });
    expect(answer.stderr).toContain(message);
  });

  it('waits for the end of a freeze, or starts in spite of it, and says so', async () => {
    const until = new Date(Date.now() + 3_600_000).toISOString();
    expect((await world.run('freeze', 'create', 'audit', '--until', until)).stdout).toContain('all devices');
    expect((await world.run('freeze', 'list')).stdout).toContain(until);
    expect(await world.json('rollout', 'start', ...of(2))).toMatchObject({ number: 3 });
    const { stdout } = await world.run('rollout', 'explain', '3');
    expect(stdout).toMatch(/cam-\d +the end of a freeze +\S+Z +audit/);
    expect(await world.run('rollout', 'resume', '3', '--ignore-freeze')).toMatchObject({ exit: 0 });
    await eventually('one is asked', async () => ((await show(3)).waves[0]?.standings['changing'] ?? 0) === 1);
    expect((await world.run('rollout', 'show', '3')).stdout).toContain('freeze periods do not hold it any more, by');
    expect(await world.run('freeze', 'delete', 'audits')).toMatchObject({ exit: 4 });
    expect(await world.run('freeze', 'delete', 'audit')).toMatchObject({ exit: 0 });
    expect(await world.run('rollout', 'rollback', '3', '--where', 'online and not online')).toMatchObject({ exit: 2 });
    expect(await world.run('rollout', 'rollback', '3')).toMatchObject({ exit: 0 });
  });

  it('is a file with its release: diff says what apply does, and apply does it once', async () => {
    const text = (share: number): string =>
      [
        'kind: rollout\nrelease: vision\nfleet: cams\nsupersede: true\npolicy: { waves: [], maxUnavailable: 1 }',
        `kind: release\nname: vision\nmodules: { detector: { image: "detector:2", settings: { share: ${String(share)} } } }\n`,
      ].join('\n---\n');
    const path = await file(text(1));
    const before = await world.run('diff', '-f', path);
    expect(before.stdout).toMatch(/vision:3 would differ from vision:2:\n.*\ndetector +settings.share +- +1/);
    expect(before.stdout).toContain('a rollout of the new vision over cams would start');
    expect((await world.run('apply', '-f', path)).stdout).toBe(
      'vision:3 is made\nrollout 4 of vision:3 over cams is started\n',
    );
    expect((await world.run('apply', '-f', path)).stdout).toContain('rollout 4 of vision:3 over cams is running');
    expect((await world.json<object[]>('diff', '-f', path)).map((one) => 'changes' in one && one.changes)).toEqual([
      false,
      false,
    ]);
    await world.run('rollout', 'abort', '4', '--running');
    await eventually('it is aborted', async () => {
      for (const device of ['cam-1', 'cam-2', 'cam-3']) await obey(device);
      return (await show(4)).state === 'aborted';
    });
    const again = await world.run('apply', '-f', path);
    expect(again).toMatchObject({ exit: 5 });
    expect(again.stderr).toContain('rollout 4 of vision:3 over cams is aborted: change the file, or start it anew');
  });

  it.each([
    ['kind: rollouts\n', 'known is rollout'],
    ['kind: rollout\nrelease: vision\nfleat: cams\n', 'did you mean fleet?'],
    ['kind: rollout\nrelease: vision\nfleet: cams\npolicy: { wave: [] }\n', 'did you mean waves?'],
    [
      'kind: rollout\nrelease: vision\nfleet: cams\n---\nkind: rollout\nrelease: vision:1\nfleet: cams\n',
      'two documents',
    ],
    ['a: &a 1\nb: *a\n', 'aliases'],
    ['---\n---\n', 'is empty'],
    ['kind: [\n---\n', 'not YAML that is taken here'],
  ])('refuses to apply %j', async (text, message) => {
    const answer = await world.run('apply', '-f', await file(text));
    expect(answer).toMatchObject({ exit: 2, stdout: '' });
    expect(answer.stderr).toContain(message);
  });

  it('starts at a time, or again and again, until that is cancelled', async () => {
    const at = '2099-12-01T03:00+01:00';
    expect((await world.run('rollout', 'start', ...of(2), '--at', at)).stdout).toContain('2099-12-01T02:00:00.000Z');
    const weekly = ['--release', 'vision', '--fleet', 'cams', '--cron', '0 3 * * 1', '--time-zone', 'Europe/Berlin'];
    expect(await world.json('rollout', 'start', ...weekly)).toMatchObject({ number: 2, cron: '0 3 * * 1' });
    expect((await world.run('rollout', 'schedules')).stdout).toMatch(/2 +vision +cams .*\n1 +vision:2/s);
    expect(await world.run('rollout', 'unschedule', '2')).toMatchObject({ exit: 0 });
    expect(await world.run('rollout', 'unschedule', '2')).toMatchObject({ exit: 5 });
    for (const wrong of [
      ['--at', 'soon'],
      ['--at', '2020-01-01T00:00Z'],
      ['--cron', '* * *'],
      ['--time-zone', 'UTC'],
    ]) {
      expect(await world.run('rollout', 'start', ...of(2), ...wrong)).toMatchObject({ exit: 2, stdout: '' });
    }
  });

  it('leaves a schedule of commands its own names, also where one is called as a scheduled rollout is', async () => {
    const when = ['--fleet', 'cams', '--cron', '30 2 * * *', '--time-zone', 'Europe/Zurich', '--missed', 'run'];
    expect(await world.run('command', 'run', 'ping', ...when, '--name', '1')).toMatchObject({ exit: 0 });
    expect((await world.run('schedule', 'list')).stdout).toMatch(/^1 +command ping +30 2 \* \* \* \(Europe\/Zurich\)/m);
    expect(await world.json('schedule', 'show', '1')).toMatchObject({
      ...{ kind: 'command', action: { operation: 'ping', fleet: 'cams' } },
      when: { cron: '30 2 * * *', timeZone: 'Europe/Zurich', missed: 'run' },
    });
    expect(await world.run('schedule', 'delete', '1')).toMatchObject({ exit: 0, stderr: '' });
    expect(await world.run('schedule', 'show', '1')).toMatchObject({ exit: 4 });
    expect((await world.run('rollout', 'schedules')).stdout).toMatch(/^1 +vision:2/m);
  });

  it('is started by contributors and read by readers', async () => {
    const { token } = await world.json<{ token: string }>('token', 'create', '--name', 'eye', '--role', 'reader');
    expect(await world.runAs(token, 'rollout', 'list')).toMatchObject({ exit: 0 });
    expect(await world.runAs(token, 'rollout', 'explain', '1')).toMatchObject({ exit: 0 });
    expect(await world.runAs(token, 'rollout', 'plan', ...of(1))).toMatchObject({ exit: 3 });
    expect(await world.runAs(token, 'rollout', 'start', ...of(1))).toMatchObject({ exit: 3 });
    expect(await world.runAs(token, 'rollout', 'rollback', '1')).toMatchObject({ exit: 3 });
    expect(await world.run('rollout', 'show', '77')).toMatchObject({ exit: 4 });
    expect(await world.run('rollout', 'show', 'x')).toMatchObject({ exit: 2 });
  });
});
