import { stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parseEnrolmentToken } from '#shared/protocol/enrolment.js';
import { digest, FleetServer, token } from '#test/support/cli/fleet-server.js';
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
const json = async (args: readonly string[]): Promise<unknown> => {
  const { exit, stdout, stderr } = await run([...args, '--output', 'json']);
  expect({ exit, stderr }).toEqual({ exit: 0, stderr: '' });
  return JSON.parse(stdout) as unknown;
};

describe('flotilla login', () => {
  it('checks the token, and later commands use it', async () => {
    const { exit, stdout } = await cli.run(['login', server.url, '--token', token]);
    expect(exit).toBe(0);
    expect(stdout).toContain('version 1.2.3');
    expect((await stat(join(cli.home, 'context.json'))).mode & 0o777).toBe(0o600);
    expect((await cli.run(['device', 'list'])).stdout).toContain('cam-1');
  });

  it('keeps several, of which --context names one', async () => {
    await cli.run(['login', server.url, '--token', '-', '--context', 'lab'], { stdin: `${token}\n` });
    const other = await FleetServer.start();
    try {
      await cli.run(['login', other.url, '--token', token, '--workspace', 'plant-2']);
      other.device = { ...other.device, name: 'other-cam' };
      expect((await cli.run(['device', 'list'])).stdout).toContain('other-cam');
      expect((await cli.run(['device', 'list', '--context', 'lab'])).stdout).toContain('cam-1');
    } finally {
      await other.stop();
    }
  });

  it('stores nothing when the token is wrong, and does not repeat it', async () => {
    const { exit, stdout, stderr } = await cli.run(['login', server.url, '--token', 'flt_wrong-one']);
    expect(exit).toBe(3);
    expect(stderr).toContain('error auth.invalid');
    expect(stdout + stderr).not.toContain('flt_wrong-one');
    await expect(stat(join(cli.home, 'context.json'))).rejects.toThrow('ENOENT');
  });

  it('says which workspace was meant', async () => {
    const { exit, stderr } = await cli.run(['login', server.url, '--token', token, '--workspace', 'plant-3']);
    expect(exit).toBe(4);
    expect(stderr).toContain('did you mean plant-2?');
  });

  it('is what workspace use changes', async () => {
    await cli.run(['login', server.url, '--token', token]);
    expect((await cli.run(['workspace', 'use', 'plant-2'])).exit).toBe(0);
    expect((await cli.run(['workspace', 'list'])).stdout).toMatch(/^\* +plant-2/m);
    expect((await cli.run(['workspace', 'use', 'nowhere'])).exit).toBe(4);
  });
});

describe('flotilla device', () => {
  it('token is composed of the server and of the key of this machine, made on first need', async () => {
    const { exit, stdout, stderr } = await run([
      'device',
      'token',
      '--ttl',
      '1d',
      '--tag',
      'site=lab',
      '--output',
      'json',
    ]);
    expect(exit).toBe(0);
    expect(stderr).toContain("made this machine's publisher key");
    const made = JSON.parse(stdout) as { token: string; command: string };
    const { publicKey } = (await json(['keys', 'show'])) as { publicKey: string };
    const parsed = parseEnrolmentToken(made.token);
    expect(parsed).toMatchObject({ ok: true, value: { publishers: [publicKey], workspace: 'default' } });
    expect(made.command).toContain(`flotilla-agent enroll --token ${made.token}`);
  });

  it('token takes further publishers', async () => {
    const other = 'A'.repeat(43);
    const { stdout } = await run(['device', 'token', '--publisher', other, '--output', 'json']);
    expect((JSON.parse(stdout) as { publishers: string[] }).publishers).toContain(other);
    expect((await run(['device', 'token', '--publisher', 'short'])).exit).toBe(2);
  });

  it('show, list, modules tell what is desired and what runs', async () => {
    server.device = {
      ...server.device,
      desired: { generation: 5, modules: { digits: { name: 'digits', version: 2, digest, settings: {} } } },
      reported: {
        generation: 4,
        converged: false,
        modules: { gone: { active: { digest, version: 1, state: 'stopped', reason: { code: 'a', message: 'why' } } } },
        capabilities: {
          agentVersion: '1',
          platform: 'linux-x64',
          cpus: 2,
          memoryBytes: 1e9,
          accelerators: ['cpu'],
          hostname: 'h',
        },
      },
    };
    const { stdout } = await run(['device', 'show', 'cam-1']);
    expect(stdout).toContain('5 desired, 4 reported, not converged');
    expect(stdout).toMatch(/^digits +digits:2 +- +-/m);
    expect(stdout).toMatch(/^gone +\(to be gone\) +version 1 stopped .*why$/m);
    expect((await run(['device', 'list'])).stdout).toContain('digits:2 (waiting)');
    expect(await json(['device', 'modules', 'cam-1'])).toMatchObject({ desired: { generation: 5 } });
  });

  it('tag sets and removes', async () => {
    expect(await json(['device', 'tag', 'cam-1', 'line=3', 'site-'])).toMatchObject({ tags: { line: '3' } });
  });

  it('retire', async () => {
    expect((await run(['device', 'retire', 'cam-1'])).exit).toBe(0);
    expect((await run(['device', 'list'])).stdout).toContain('retired');
  });

  it('events come page after page, up to the count', async () => {
    expect(await json(['device', 'events', 'cam-1'])).toHaveLength(3);
    expect(await json(['device', 'events', 'cam-1', '-n', '2'])).toHaveLength(2);
  });
});

describe.each([['logs'], ['device', 'logs']])('flotilla %s %s', (...words) => {
  it('asks the device for its last lines', async () => {
    server.answer = { result: { lines: ['first', 'with \u001b[31mcolour'] } };
    const { stdout } = await run([...words.filter(Boolean), 'cam-1', 'digits', '-n', '20']);
    expect(stdout).toBe('first\nwith [31mcolour\n');
    expect(server.commands).toEqual([
      { operation: 'logs', arguments: { module: 'digits', lines: 20 }, timeoutSeconds: 15 },
    ]);
  });
});

describe('flotilla telemetry', () => {
  it('shows the span, and takes durations', async () => {
    const { stdout } = await run(['telemetry', 'cam-1', '--since', '1h30m']);
    expect(stdout).toMatch(/^digits:1 +cpu +20 +0 +0\.50 +1\.00 +2\.00 +12\.3$/m);
    expect(await json(['device', 'telemetry', 'cam-1', '--since', '2m'])).toMatchObject({ batches: 120 });
  });

  it('draws one metric over time, or a line for each', async () => {
    const one = await run(['telemetry', 'cam-1', '--metric', 'latency.p99', '--since', '4m']);
    expect(one.stdout).toContain('10.0 ms ┤   █\n');
    expect(one.stdout).toContain('0.00 ms ┤▆ ██\n');
    expect(one.stdout).toContain('cam-1: least 1.00 ms, mean 4.50 ms, greatest 10.0 ms, last 10.0 ms; 240 samples');
    const both = await run(['telemetry', '--metric', 'latency.p99', '--by', 'device']);
    expect(both.stdout).toMatch(/^cam-2 +3600 +1\.00 ms +4\.50 ms +10\.0 ms +10\.0 ms +▁ ▂█$/m);
    expect(both.stdout).toContain('3 more lines: narrow it down');
    expect(await json(['telemetry', '--metric', 'cpu', '--points', '4'])).toMatchObject({ series: [{ name: 'all' }] });
  });

  it.each([
    [['telemetry'], 'name a device, or a metric of all'],
    [['telemetry', 'cam-1', '--by', 'device'], '--by and --points are for --metric'],
    [['telemetry', '--metric', 'latency.p98'], 'did you mean "latency.p'],
    [['telemetry', '--metric', 'cpu', '--points', '501'], 'write a whole number from 1 to 500'],
  ])('refuses %j, and says what to write', async (words, message) => {
    const { exit, stderr } = await run(words);
    expect([exit, stderr]).toEqual([2, expect.stringContaining(message)]);
  });

  it('shows each GPU with what its driver tells', async () => {
    const { stdout } = await run(['telemetry', 'cam-1']);
    expect(stdout).toMatch(/^gpu +GPU one, 37 %, memory 1\.0 GiB of 2\.0 GiB$/m);
    expect(stdout).toMatch(/^gpu +GPU two$/m);
  });
});

describe('flotilla score', () => {
  const score = ['score', '--device', 'cam-1', '--module', 'digits', '--input'];
  const input = { inputs: [{ name: 'x', shape: [1], datatype: 'FP32', data: [1] }] };

  it('sends a file, and prints the output', async () => {
    const path = join(cli.home, 'input.json');
    await writeFile(path, JSON.stringify(input));
    server.answer = { result: { status: 200, headers: {}, output: { outputs: [] } } };
    const { exit, stdout } = await run([...score, path]);
    expect({ exit, answer: JSON.parse(stdout) as unknown }).toEqual({ exit: 0, answer: { outputs: [] } });
    expect(server.commands[0]?.arguments).toEqual({ module: 'digits', input });
  });

  it('reads standard input for -', async () => {
    server.answer = { result: { status: 200, headers: {}, output: 1 } };
    const { exit } = await run([...score, '-'], { stdin: JSON.stringify(input) });
    expect(exit).toBe(0);
  });

  it.each([
    [
      'what the module refused',
      { result: { status: 400, headers: {}, output: { error: 'no tensor y' } } },
      2,
      'no tensor y',
    ],
    ['what the module could not take', { result: { status: 503, headers: {}, output: null } }, 6, 'score.overloaded'],
    [
      'an offline device',
      { problem: { code: 'device.offline', message: 'cam-1 is not connected' } },
      6,
      'cam-1 is not connected',
    ],
    ['an answer of another form', { result: { ok: true } }, 1, 'server.incompatible'],
  ] as const)('fails for %s', async (_what, answer, exit, message) => {
    server.answer = answer;
    const failed = await run([...score, '-'], { stdin: '{}' });
    expect(failed).toMatchObject({ exit, stdout: '' });
    expect(failed.stderr).toContain(message);
  });

  it.each([
    ['-', '{"a":NaN}', /standard input is not JSON/],
    ['/no/such/file.json', '', /\/no\/such\/file\.json: there is no such file/],
  ])('names input that cannot be read: %s', async (path, stdin, message) => {
    const { exit, stderr } = await run([...score, path], { stdin });
    expect(exit).toBe(2);
    expect(stderr).toMatch(message);
    expect(server.commands).toHaveLength(0);
  });
});

describe('flotilla events', () => {
  it('follows changes as lines of JSON, across a lost connection, until Ctrl-C', async () => {
    const interrupt = new AbortController();
    const emit = (type: string): Promise<void> => whenOpen(() => server.emit(type, 'cam-1'));
    const following = run(['events', '--output', 'json', '--type', 'device.changed'], {
      interrupt,
      onText: (text) => {
        if (text.split('\n').length > 2) interrupt.abort();
      },
    });
    await emit('device.changed');
    await emit('activity.changed');
    server.dropStreams('end');
    await whenOpen(() => server.emit('device.changed', 'cam-1'));
    const { exit, stdout } = await following;
    expect(exit).toBe(0);
    const lines = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as unknown);
    const changed = { type: 'device.changed', subject: 'cam-1' };
    expect(lines).toMatchObject([changed, changed]);
  });

  it('does not insist where the server refuses', async () => {
    const { exit } = await run(['events'], { token: 'flt_wrong' });
    expect(exit).toBe(3);
  });
});

async function whenOpen(action: () => void): Promise<void> {
  while (server.openStreams === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  action();
}
