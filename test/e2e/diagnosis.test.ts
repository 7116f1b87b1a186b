import { execFile } from 'node:child_process';
import { mkdir, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ownPort } from '#test/support/own-port.js';
import { type Daemon, ProgramFailed } from '#cloud/quickstart/program.js';
import { repository, World } from '../support/world.js';

const module = join(repository, 'modules/digits');

interface Finding {
  readonly check: string;
  readonly outcome: string;
  readonly message: string;
  readonly remedy?: string;
}

/** Looking into a device, at it and from afar. */
describe('a device that somebody looks into', () => {
  let world: World;
  let agent: Daemon;

  const unpack = async (file: string): Promise<Record<string, string>> => {
    const folder = join(world.folder, `unpacked-${String(Math.random()).slice(2)}`);
    await mkdir(folder);
    await promisify(execFile)('tar', ['-xzf', file, '-C', folder]);
    const names = await readdir(folder, { recursive: true, withFileTypes: true });
    const files = names.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
    const contents = await Promise.all(files.map((path) => readFile(path, 'utf8')));
    return Object.fromEntries(files.map((path, index) => [path.slice(folder.length + 1), contents[index] ?? '']));
  };
  /** Of a key: any line of it would do. */
  const secretsOfDevice = async (): Promise<string[]> => {
    const identity = await readFile(join(world.folder, 'cam-1', 'identity.json'), 'utf8');
    const keys = [...identity.matchAll(/PRIVATE KEY-----\\n([A-Za-z0-9+/=\\n]+)\\n-----END/g)].flatMap(
      ([, body = '']) => body.split('\\n'),
    );
    expect(keys.length).toBeGreaterThan(1);
    return [...keys, (await readFile(join(world.folder, 'cam-1', 'control-token'), 'utf8')).trim()];
  };

  beforeAll(async () => {
    world = await World.create({ operatorInProcess: true });
    await world.open();
    await world.flotilla('model', 'register', join(module, 'model.onnx'), '--name', 'digits');
    await world.flotilla('image', 'build', module, '--model', 'digits:1');
    await world.enrol('cam-1');
    agent = await world.startAgent('cam-1', await ownPort());
    await world.flotilla('deploy', 'digits:1', '--device', 'cam-1');
  });
  afterAll(() => world.close());

  it('finds all well with flotilla-agent check, at the device and from afar', async () => {
    const { passed, findings } = JSON.parse(await world.agentCommand('cam-1', 'check', '--output', 'json')) as {
      passed: boolean;
      findings: Finding[];
    };
    expect(findings.filter(({ outcome }) => outcome !== 'ok' && outcome !== 'skipped')).toEqual([]);
    expect(passed).toBe(true);
    expect(findings.map(({ check }) => check)).toContain('TLS of the broker');
    const afar = (await world.flotillaJson('device', 'check', 'cam-1')) as Finding[];
    expect(afar.filter(({ outcome }) => outcome === 'error')).toEqual([]);
  });

  it('is pinged, explains itself, and starts a module anew from afar', async () => {
    expect(await world.flotilla('device', 'ping', 'cam-1')).toContain('cam-1 answered');
    const explanation = (await world.flotillaJson('device', 'explain', 'cam-1')) as { status: { device: string } };
    expect(explanation.status.device).toBe('cam-1');
    await world.flotilla('device', 'restart', 'cam-1', 'digits');
    await expect(world.flotilla('device', 'restart', 'cam-1', 'nothing')).rejects.toThrow('module.not-found');
  });

  it('is followed as it logs', async () => {
    const following = world.start('flotilla', ['logs', 'cam-1', '--follow', '-n', '1'], world.operator);
    await following.until('showing the last line', 20_000, () => (following.output.includes('\n') ? true : undefined));
    const before = following.output.length;
    // Whatever the agent does next is a line.
    await world.flotilla('deploy', 'digits:1', '--device', 'cam-1', '--set', 'note="again"', '--probation', '0');
    await following.until('showing a new line', 20_000, () =>
      following.output.length > before && following.output.includes('desired document accepted') ? true : undefined,
    );
    following.kill('SIGINT');
    expect(await following.exited).toBe('0');
  });

  it('gives a bundle, at the device and from afar, in which no secret is', async () => {
    await world.flotilla(
      'deploy',
      'digits:1',
      '--device',
      'cam-1',
      '--set',
      'password="hunter2-planted"',
      '--probation',
      '0',
    );
    const [here, afar] = [join(world.folder, 'here.tar.gz'), join(world.folder, 'afar.tar.gz')];
    await world.agentCommand('cam-1', 'bundle', '--to', here);
    await world.flotilla('device', 'bundle', 'cam-1', '--to', afar);
    const secrets = ['hunter2-planted', ...(await secretsOfDevice())];
    for (const file of [here, afar]) {
      const files = await unpack(file);
      expect(Object.keys(files)).toEqual(
        expect.arrayContaining(['bundle.json', 'check.json', 'config.json', 'explain.json', 'logs/_agent.log']),
      );
      for (const [name, text] of Object.entries(files)) {
        for (const secret of secrets) expect(text.includes(secret), `${name} of ${file}`).toBe(false);
      }
      expect(files['state/committed.json']).toContain('[hidden]');
    }
  });

  it('says what is wrong and what to do when its control plane is gone and its key is open to all', async () => {
    await world.cloud?.stop();
    await promisify(execFile)('chmod', ['644', join(world.folder, 'cam-1', 'identity.json')]);
    const error = await world.agentCommand('cam-1', 'check').then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
    expect(error).toBeInstanceOf(ProgramFailed);
    const { output, exit } = error as ProgramFailed;
    expect(exit).toBe('1');
    expect(output).toMatch(/error\s+identity: .*open to others[\s\S]*→ chmod go=/);
    expect(output).toMatch(/error\s+TLS of the broker: [\s\S]*→ see that/);
    agent.kill('SIGTERM');
    await agent.exited;
    const { file } = JSON.parse(
      await world.agentCommand('cam-1', 'bundle', '--to', join(world.folder, 'dead.tar.gz'), '--output', 'json'),
    ) as { file: string };
    expect(Object.keys(await unpack(file))).not.toContain('explain.json');
  });
});
