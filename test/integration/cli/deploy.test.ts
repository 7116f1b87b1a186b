import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { at, digest, FleetServer, gateDigest, token } from '#test/support/cli/fleet-server.js';
import { CliHarness, type CliRun, type CliSetup } from '#test/support/cli/cli-harness.js';

let server: FleetServer;
let cli: CliHarness;
beforeEach(async () => {
  server = await FleetServer.start();
  cli = await CliHarness.make();
});
afterEach(async () => {
  await server.stop();
  await cli.remove();
});

const run = (args: readonly string[], setup: CliSetup = {}): Promise<CliRun> =>
  cli.run(args, { url: server.url, token, ...setup });
const deploy = (...more: string[]): readonly string[] => ['deploy', 'digits:1', '--device', 'cam-1', ...more];

const running = { active: { digest, version: 1, state: 'running' as const, provider: 'cpu' } };
const fetching = (bytesFetched: number): { candidate: object } => ({
  candidate: { digest, version: 1, state: 'fetching', numbers: { bytesFetched, bytesTotal: 50_000_000 } },
});

/** The device takes these states, one each time that it was looked at. */
function deviceGoesThrough(...states: readonly object[]): void {
  server.onDesired = () => {
    const seen = server.deviceReads;
    const waitForLook = (next: number): void => {
      if (next >= states.length) return;
      if (server.deviceReads > seen + next) {
        server.report({ generation: server.device.desired.generation, ...states[next] });
        next += 1;
      }
      setTimeout(waitForLook, 5, next);
    };
    waitForLook(0);
  };
}

const rejected = {
  modules: {
    digits: {
      candidate: { digest, version: 1, state: 'rejected', reason: { code: 'golden.mismatch', message: 'vector 3' } },
    },
  },
};
const done = { converged: true, modules: { digits: running } };

describe('flotilla deploy', () => {
  it('waits through fetching until the device has converged', async () => {
    deviceGoesThrough(
      { converged: false, modules: { digits: fetching(1) } },
      { modules: { digits: fetching(40_000_000) } },
      done,
    );
    const { exit, stdout, stderr } = await run(deploy('--output', 'json', '--set', 'threshold=0.5'));
    expect(exit).toBe(0);
    expect(JSON.parse(stdout)).toEqual({
      ...{ device: 'cam-1', module: 'digits', image: 'digits:1', digest, generation: 5, done: true },
    });
    expect(stderr).toContain('38.1 MiB of 47.7 MiB (80 %)');
    expect(server.device.desired.modules['digits']).toMatchObject({ digest, settings: { threshold: 0.5 } });
  });

  it('needs no live events', async () => {
    server.live = false;
    deviceGoesThrough({ converged: false, modules: { digits: fetching(1) } }, done);
    expect((await run(deploy())).exit).toBe(0);
  });

  it('goes on when live events break off', async () => {
    deviceGoesThrough({ converged: false, modules: {} }, done);
    const before = server.onDesired;
    server.onDesired = () => {
      before();
      setTimeout(() => server.dropStreams('destroy'), 50);
    };
    expect((await run(deploy())).exit).toBe(0);
  });

  it('fails with the reason and the exit code of what the device says', async () => {
    deviceGoesThrough(rejected);
    const { exit, stdout, stderr } = await run(deploy());
    expect({ exit, stdout }).toEqual({ exit: 1, stdout: '' });
    expect(stderr).toContain('error golden.mismatch: the device rejected digits version 1: vector 3');
  });

  it('fails when the device refuses the document, but not for a refusal of before', async () => {
    const refused = { problem: { code: 'signature.invalid', message: 'old' }, at };
    server.report({ refused });
    deviceGoesThrough(
      { generation: 4 },
      { generation: 4, refused: { ...refused, at: '2026-01-02T03:05:00.000Z', generation: 5 } },
    );
    const { exit, stderr } = await run(deploy());
    expect(exit).toBe(3);
    expect(stderr).toContain('error signature.invalid: the device refused');
  });

  it('asks for all together or none with --atomic, and fails with the module that was refused and why', async () => {
    const because = { code: 'module.group-rejected', message: 'gate, with which it was to take over, was refused' };
    deviceGoesThrough({
      converged: false,
      modules: { digits: { candidate: { digest, version: 1, state: 'rejected', reason: because } } },
    });
    const { exit, stderr } = await run(['deploy', 'digits:1', 'gate:1', '--device', 'cam-1', '--atomic']);
    expect(exit).toBe(1);
    expect(stderr).toContain('error module.group-rejected: the device rejected digits version 1: gate, with which');
    expect(server.deployed).toMatchObject([
      { atomic: true, modules: { digits: { image: digest }, gate: { image: gateDigest } } },
    ]);
  });

  it('says until when a module puts its replacement off, and waits for that', async () => {
    const busy = { until: '2026-01-02T04:00:00.000Z', reason: 'a batch is running' };
    const before = { digest: gateDigest, version: 7, state: 'running' as const };
    deviceGoesThrough({ converged: false, modules: { digits: { active: before, busy } } }, done);
    const { exit, stderr } = await run(deploy('--defer-at-most', '30m'));
    expect(exit).toBe(0);
    expect(stderr).toContain(`puts its replacement off, until ${busy.until} at most: a batch is running`);
    expect(server.deployed[0]?.modules['digits']?.update).toMatchObject({ maxDeferSeconds: 1800 });
  });

  it('is left going by Ctrl-C, which ends with 130', async () => {
    const interrupt = new AbortController();
    const { exit, stdout, stderr } = await run(deploy(), {
      interrupt,
      onText: (text) => {
        if (text.includes('generation 5')) interrupt.abort();
      },
    });
    expect({ exit, stdout }).toEqual({ exit: 130, stdout: '' });
    expect(stderr).toContain('the deployment goes on; flotilla device modules cam-1');
    expect(server.device.desired.modules['digits']).toBeDefined();
  });

  it('is left going after the timeout', async () => {
    server.device = { ...server.device, online: false };
    const { exit, stderr } = await run(deploy('--timeout', '100ms'));
    expect(exit).toBe(6);
    expect(stderr).toContain('error device.timeout: not done in time: cam-1 is offline');
    expect(stderr).toContain('the deployment goes on');
  });

  it('does not wait with --no-wait, and takes another name for the module', async () => {
    const { exit, stdout } = await run(deploy('--no-wait', '--as', 'reader', '--output', 'json'));
    expect(exit).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ module: 'reader', generation: 5, done: false });
  });

  it.each([
    [['deploy', 'digits:2', '--device', 'cam-1'], 'image.not-found'],
    [['deploy', 'digits:1', '--device', 'cam-2'], 'device.not-found'],
  ])('%j changes nothing', async (args, code) => {
    const { exit, stderr } = await run(args);
    expect(exit).toBe(4);
    expect(stderr).toContain(code);
    expect(server.device.desired.generation).toBe(4);
  });
});

describe('flotilla undeploy', () => {
  it('waits until the module is gone', async () => {
    server.report({ modules: { digits: running } });
    deviceGoesThrough({ converged: false }, { converged: true, modules: {} });
    const { exit, stdout } = await run(['undeploy', 'digits', '--device', 'cam-1']);
    expect(exit).toBe(0);
    expect(stdout).toContain('digits is gone from cam-1');
  });
});
