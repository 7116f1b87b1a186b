/** Who is a device, told and changed by commands: against a whole control plane, with devices that enrol as agents do. */
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { systemClock } from '#shared/kernel/clock.js';
import { enrol } from '#agent/identity/enrol.js';
import type { Identity } from '#agent/identity/identity.js';
import { stateFolder } from '#agent/store/state-folder.js';
import { loadConfig } from '#cloud/config.js';
import { type RunningCloud, startCloud } from '#cloud/main.js';
import { CliHarness, type CliRun } from '#test/support/cli/cli-harness.js';
import { capabilities, silent } from '#test/support/fleet-world.js';

let cli: CliHarness;
let cloud: RunningCloud;

beforeAll(async () => {
  cli = await CliHarness.make();
  const flags = {
    'data-dir': join(cli.home, 'cloud'),
    'http-port': '0',
    'http-tls': 'off',
    'gateway-port': '0',
    'broker-port': '0',
  };
  cloud = await startCloud(loadConfig({ flags, environment: {} }), silent, '0.0.0-test');
});
afterAll(async () => {
  await cloud.stop();
  await cli.remove();
});

const run = (...args: readonly string[]): Promise<CliRun> =>
  cli.run(args, { url: cloud.addresses.http ?? '', token: cloud.ownerToken ?? '' });
const text = async (...args: readonly string[]): Promise<string> => {
  const { exit, stdout, stderr } = await run(...args);
  expect({ exit, stderr: exit === 0 ? '' : stderr }).toEqual({ exit: 0, stderr: '' });
  return stdout;
};
const json = async (...args: readonly string[]): Promise<unknown> =>
  JSON.parse(await text(...args, '--output', 'json')) as unknown;
const comes = (token: string, device: string | undefined, more: object = {}): Promise<Identity> =>
  enrol(
    {
      folder: stateFolder(join(cli.home, `state-${device ?? 'unnamed'}`)),
      ...{ token, device, tags: {}, capabilities, replace: false, proxy: { proxy: undefined, noProxy: '' } },
      ...more,
    },
    systemClock,
  );
const tokenOf = async (...args: readonly string[]): Promise<string> =>
  ((await json(...args)) as { token: string }).token;

describe('flotilla device claim', () => {
  it('lets devices in by one token, counted, each when it is approved', async () => {
    const token = await tokenOf('device', 'claim', 'create', '--name', 'factory', '--max', '3', '--approve');
    for (const device of ['line-1', 'line-2', 'line-3']) {
      await expect(comes(token, device)).rejects.toMatchObject({ code: 'enrolment.pending' });
    }
    expect(await text('device', 'claim', 'pending', 'factory')).toMatch(/line-1[\s\S]*line-2[\s\S]*line-3/);

    expect(await text('device', 'claim', 'approve', 'factory', 'line-1')).toBe('approved line-1\n');
    expect(await comes(token, 'line-1')).toMatchObject({ device: 'line-1', workspace: 'default' });
    expect(await text('device', 'claim', 'reject', 'factory', 'line-2', '--reason', 'not ours')).toBe(
      'rejected line-2\n',
    );
    await expect(comes(token, 'line-2')).rejects.toThrow('not ours');

    expect(await text('device', 'claim', 'list')).toMatch(/factory +open +2 of 3 +1 /);
    expect(await text('device', 'claim', 'revoke', 'factory')).toBe('revoked factory\n');
    await expect(comes(token, 'line-3')).rejects.toMatchObject({ code: 'enrolment.token-invalid' });
  });

  it.each([
    [['create', '--name', 'odd', '--max', '3', '--rate', 'fast'], '--rate fast is no rate: write 10/s'],
    [['create', '--name', 'odd', '--max', '3', '--hardware-ids', '/nowhere'], 'cannot read --hardware-ids /nowhere'],
    [['approve', 'factory'], 'name one device, or say --all'],
  ])('%j is refused with what to write instead', async (args, message) => {
    const { exit, stderr } = await run('device', 'claim', ...args);
    expect(exit).toBe(2);
    expect(stderr).toContain(message);
  });
});

describe('the certificate of a device', () => {
  it('is shown, revoked with a reason, and another machine takes the place of the one that had it', async () => {
    await comes(await tokenOf('device', 'token'), 'cam-1');
    expect(await text('device', 'certificate', 'cam-1')).toMatch(/accepted/);
    expect(await text('device', 'certificate', 'cam-1', '--pem')).toMatch(/^-----BEGIN CERTIFICATE-----\n/);

    expect(await text('device', 'revoke', 'cam-1', '--reason', 'stolen')).toMatch(
      /^revoked 1 certificate\(s\) of cam-1/,
    );
    expect(await text('device', 'certificate', 'cam-1')).toMatch(/revoked .* stolen/);
    expect(await text('device', 'certificate', 'cam-1', '--pem')).toBe('no certificate counts\n');
    expect(await text('device', 'revoke', 'cam-1', '--reason', 'twice')).toMatch(/^nothing to revoke/);

    const again = await tokenOf('device', 'replace', 'cam-1');
    const folder = stateFolder(join(cli.home, 'state-of-the-new-machine'));
    expect(await comes(again, 'cam-1', { folder })).toMatchObject({ device: 'cam-1' });
    expect(await text('device', 'certificate', 'cam-1')).toMatch(/accepted[\s\S]*revoked/);
  });

  it('of a device that is not there is an error that says so', async () => {
    const { exit, stderr } = await run('device', 'revoke', 'cam-9', '--reason', 'x');
    expect(exit).toBe(4);
    expect(stderr).toContain('device.not-found');
  });
});
