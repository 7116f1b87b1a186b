import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CliHarness, type CliRun } from '#test/support/cli/cli-harness.js';
import { CloudProcess } from '#test/support/cli/cloud-process.js';

const rules = `rules:
  - name: slow
    metric: latency.p99
    by: device
    above: 50
  - name: alarms
    event: machine.*
    count: 3
`;

let cloud: CloudProcess;
let cli: CliHarness;
let run: (...args: string[]) => Promise<CliRun>;
beforeAll(async () => {
  cloud = await CloudProcess.start();
  cli = await CliHarness.make();
  run = (...args) => cli.run(args, { url: cloud.url, token: cloud.ownerToken });
});
afterAll(async () => {
  await cloud.stop();
  await cli.remove();
});

const json = async (...args: string[]): Promise<unknown> => {
  const { exit, stdout, stderr } = await run(...args, '--output', 'json');
  expect(exit, stderr).toBe(0);
  return JSON.parse(stdout) as unknown;
};

describe('flotilla alert', () => {
  it('applies a file, lists, shows, tests and deletes', async () => {
    const file = join(cli.home, 'rules.yaml');
    await writeFile(file, rules);
    expect((await run('alert', 'list')).stdout).toContain('flotilla alert apply -f rules.yaml');
    expect((await run('alert', 'apply', '-f', file)).stdout).toBe('slow created\nalarms created\n');
    await writeFile(file, rules.replace('50', '60'));
    expect(await json('alert', 'apply', '-f', file)).toEqual([
      { name: 'slow', outcome: 'changed' },
      { name: 'alarms', outcome: 'unchanged' },
    ]);
    const { stdout } = await run('alert', 'list');
    expect(stdout).toMatch(/^slow +warning +latency\.p99 above 60 over 5m by device +- +0$/m);
    expect(stdout).toMatch(/^alarms +warning +machine\.\* 3 times in 5m +- +0$/m);
    expect((await run('alert', 'show', 'slow')).stdout).toContain('above: 60');
    expect((await run('alert', 'test', 'alarms')).stdout).toMatch(
      /^notice \S+ is on its way to the log, flotilla events$/m,
    );
    expect(await json('alert', 'delete', 'slow')).toEqual({ deleted: 'slow' });
    expect(await json('alert', 'list')).toMatchObject({ rules: [{ rule: { name: 'alarms' }, firing: 0 }], alerts: [] });
  });

  it('says what is wrong with a file before anything is asked, and what the server refuses', async () => {
    const file = join(cli.home, 'bad.yaml');
    await writeFile(file, rules.replace('above', 'abvoe'));
    const typo = await run('alert', 'apply', '-f', file);
    expect([typo.exit, typo.stderr]).toEqual([
      2,
      expect.stringMatching(/bad.yaml line 5: unknown field "abvoe", did you mean "above"/),
    ]);
    await writeFile(file, `${rules}    notify: [ops]\n`);
    const nowhere = await run('alert', 'apply', '-f', file);
    expect([nowhere.exit, nowhere.stderr]).toEqual([
      2,
      expect.stringMatching(/no destination "ops"; none is configured/),
    ]);
    const absent = await run('alert', 'delete', 'alarm');
    expect([absent.exit, absent.stderr]).toEqual([4, expect.stringMatching(/did you mean "alarms"/)]);
  });
});
