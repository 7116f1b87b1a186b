import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CliHarness } from '#test/support/cli/cli-harness.js';

let cli: CliHarness;
beforeAll(async () => {
  cli = await CliHarness.make();
});
afterAll(() => cli.remove());

describe('a wrong command line', () => {
  it.each([
    [['modell', 'list'], "unknown command 'modell'. Did you mean model?", 'flotilla --help'],
    [['model', 'lst'], "unknown command 'lst'. Did you mean list?", 'flotilla model --help'],
    [
      ['model', 'list', '--ouput', 'json'],
      "unknown option '--ouput'. Did you mean --output?",
      'flotilla model list --help',
    ],
    [
      ['deploy', 'digits:1', '--devise', 'cam-1'],
      "unknown option '--devise'. Did you mean --device?",
      'flotilla deploy --help',
    ],
    [['deploy', 'digits:1'], "required option '--device <name>' not specified", 'flotilla deploy --help'],
    [['model', 'show'], "missing required argument 'model'", 'flotilla model show --help'],
    [['model', 'list', 'more'], 'too many arguments', 'flotilla model list --help'],
    [['cloud', '--http-prt', '1'], "unknown option '--http-prt'. Did you mean --http-port?", 'flotilla cloud --help'],
    [['--output', 'yaml', 'model', 'list'], 'Allowed choices are text, json', 'flotilla --help'],
  ])('%j says what is nearest and where help is', async (args, message, next) => {
    const { exit, stdout, stderr } = await cli.run(args);
    expect(exit).toBe(2);
    expect(stdout).toBe('');
    expect(stderr).toContain('error request.invalid: ');
    expect(stderr).toContain(message);
    expect(stderr).toContain(`next: ${next}`);
    expect(stderr.trim().split('\n')).toHaveLength(2);
  });

  it.each([
    [['device', 'show', 'Cam_1'], '"Cam_1" is no name of a device'],
    [['model', 'show', 'digits'], '"digits" names no model version; write for example digits:1'],
    [['image', 'show', 'sha256:zz'], 'names no image'],
    [['model', 'tag', 'digits:1', 'stage'], '"stage" is no name=value'],
    [['telemetry', 'cam-1', '--since', '10 minutes'], '"10 minutes" is no duration'],
    [['deploy', 'digits:1', '--device', 'cam-1', '--set', 'a=b'], 'a text needs quotes'],
    [['logs', 'cam-1', '-n', '0'], 'is no count'],
  ])('%j is refused before any server is asked', async (args, message) => {
    const { exit, stdout, stderr } = await cli.run(args);
    expect({ exit, stdout }).toEqual({ exit: 2, stdout: '' });
    expect(stderr).toContain(message);
  });

  it('is one JSON value on standard error with --output json', async () => {
    const { exit, stdout, stderr } = await cli.run(['--output', 'json', 'model', 'lst']);
    expect({ exit, stdout }).toEqual({ exit: 2, stdout: '' });
    expect(JSON.parse(stderr)).toMatchObject({ error: { code: 'request.invalid', next: 'flotilla model --help' } });
  });

  it('shows help for a group without a command', async () => {
    const { exit, stderr } = await cli.run(['model']);
    expect(exit).toBe(2);
    expect(stderr).toContain('register');
    expect(stderr).not.toContain('error request.invalid');
  });
});

describe('without a control plane', () => {
  it('says how to log in', async () => {
    const { exit, stderr } = await cli.run(['model', 'list']);
    expect(exit).toBe(3);
    expect(stderr).toContain('error auth.missing: not logged in');
    expect(stderr).toContain('next: flotilla login <url> --token <token>');
  });

  it('says how to start one when the connection is refused, without the token', async () => {
    const token = 'tok-that-must-not-show';
    const { exit, stdout, stderr } = await cli.run(['model', 'list'], { url: 'http://127.0.0.1:9', token });
    expect({ exit, stdout }).toEqual({ exit: 6, stdout: '' });
    expect(stderr).toContain('error server.unreachable: http://127.0.0.1:9');
    expect(stderr).toContain('flotilla cloud');
    expect(stderr).not.toContain(token);
  });

  it('takes standard input for a token only where it was asked to', async () => {
    const { exit, stderr } = await cli.run(['login', 'http://127.0.0.1:9', '--token', '-'], { stdin: 'a\u0007b\n' });
    expect(exit).toBe(3);
    expect(stderr).toContain('characters that no token has');
  });
});

describe('a broken context file', () => {
  it('is named, with what to do, and its content is not shown', async () => {
    const other = await CliHarness.make();
    try {
      await mkdir(other.home, { recursive: true });
      await writeFile(join(other.home, 'context.json'), '{"schema":1,"token":"secret-text"');
      const { exit, stderr } = await other.run(['model', 'list']);
      expect(exit).toBe(2);
      expect(stderr).toContain('context.json: not JSON; remove the file and log in again');
      expect(stderr).not.toContain('secret-text');
    } finally {
      await other.remove();
    }
  });
});

describe('flotilla --version', () => {
  it('prints it alone', async () => {
    expect(await cli.run(['--version'])).toEqual({ exit: 0, stdout: '9.9.9\n', stderr: '' });
  });
});

describe('flotilla cloud', () => {
  it('hands its flags to the daemon', async () => {
    const { stderr, exit } = await cli.run(['cloud', '--http-port', '0', '--data-dir=/tmp/x y']);
    expect({ stderr, exit }).toEqual({ stderr: 'cloud --http-port=0 --data-dir=/tmp/x y\n', exit: 0 });
  });

  it('says where it is, and the first owner token with the command that uses it', async () => {
    const { stdout } = await cli.run(['cloud']);
    expect(stdout).toContain('flotilla login http://a:1 --token first-token');
    const json = await cli.run(['cloud', '--output', 'json']);
    expect(JSON.parse(json.stdout)).toMatchObject({ addresses: { http: 'http://a:1' }, ownerToken: 'first-token' });
  });

  it('prints the configuration instead with --print-config', async () => {
    const { stdout } = await cli.run(['cloud', '--http-port', '0', '--config', 'c.yaml', '--print-config']);
    expect(stdout).toBe('config --http-port=0 --config=c.yaml\n');
  });
});
