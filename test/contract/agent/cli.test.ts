import { spawn } from 'node:child_process';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { enrolledFolder, removeFolder } from '#test/support/agent/agent-harness.js';
import { FakeCloud, until } from '#test/support/agent/fake-cloud.js';
import { GrpcClient } from '#test/support/grpc-client.js';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '../../..');

interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

function begin(program: string, args: readonly string[]) {
  const child = spawn(process.execPath, [join(root, program), ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  const texts = { out: '', err: '' };
  child.stdout.on('data', (part: Buffer) => {
    texts.out += part.toString();
  });
  child.stderr.on('data', (part: Buffer) => {
    texts.err += part.toString();
  });
  const ended = new Promise<Ended>((done) => child.on('close', (code) => done({ code, ...texts })));
  return { child, texts, ended };
}

/** The build and the bundle are the same program. */
describe.each(['dist/agent/cli/main.js', 'dist/agent-bundle/flotilla-agent.js'])('%s', (program) => {
  let cloud: FakeCloud;
  let folder: string;
  let empty: string;
  beforeAll(async () => {
    cloud = await FakeCloud.start();
    folder = await enrolledFolder(cloud);
    empty = await mkdtemp(join(tmpdir(), 'fc-'));
  });
  afterAll(async () => {
    await cloud.close();
    await removeFolder(folder);
    await removeFolder(empty);
  });
  const cli = (...args: string[]): Promise<Ended> => begin(program, args).ended;

  it('has help with an example for every command', async () => {
    expect((await cli('--help')).out).toContain('Example:');
    for (const command of ['enroll', 'run', 'status', 'logs', 'explain']) {
      const { code, out } = await cli(command, '--help');
      expect(code).toBe(0);
      expect(out).toContain(`Example:\n  flotilla-agent ${command}`);
    }
  });

  it.each([
    [['statsu'], 2, 'did you mean status?'],
    [['run', '--scoring-prot', '1'], 2, 'did you mean --scoring-port?'],
    [['enroll', '--name', 'x'], 2, '--token'],
    [['run', '--scoring-port', 'many'], 2, 'scoring.port'],
    [[], 2, 'give a command'],
  ])('%j ends with exit code %i and says %s', async (args, code, words) => {
    const ended = await cli(...args);
    expect(ended).toMatchObject({ code, out: '' });
    expect(ended.err).toContain(words);
  });

  it('says what to do when no agent runs, or none is enrolled, in JSON too', async () => {
    expect(await cli('--state-dir', empty, 'status')).toMatchObject({ code: 6 });
    const { code, err } = await cli('--state-dir', empty, '--output', 'json', 'run');
    expect(code).toBe(3);
    expect(JSON.parse(err)).toMatchObject({ code: 'auth.missing' });
  });

  it('runs, answers about itself, refuses a second and a taken port, and ends when told to', async () => {
    const flags = ['--state-dir', folder, '--output', 'json'];
    const running = begin(program, [...flags, 'run', '--scoring-port', '0', '--grpc-port', '0', '--log-level', 'info']);
    await until('running', () => running.texts.out.includes('scoring'));
    const { scoring, grpc } = JSON.parse(running.texts.out) as { scoring: { port: number }; grpc: { port: number } };
    await until('connected', async () => {
      const status = JSON.parse((await cli(...flags, 'status')).out) as { link: { connected: boolean } };
      return status.link.connected;
    });
    // A host answers a moment after the agent runs.
    const live = `http://127.0.0.1:${String(scoring.port)}/v2/health/live`;
    await until('scoring', async () => (await fetch(live).catch(() => undefined))?.ok === true);
    const client = new GrpcClient(`127.0.0.1:${String(grpc.port)}`);
    await until('gRPC', async () => (await client.call('ServerLive').catch(() => undefined)) !== undefined);
    client.close();
    expect((await cli('--state-dir', folder, 'explain')).out).toContain('It waits for\n  desired');
    expect((await cli('--state-dir', folder, 'status')).out).toContain(`gRPC on 127.0.0.1:${String(grpc.port)}`);
    expect((await cli('--state-dir', folder, 'logs', '-n', '5')).out).toContain('the agent runs');
    expect(await cli('--state-dir', folder, 'run')).toMatchObject({ code: 7 });
    const second = await enrolledFolder(cloud);
    const taken = await cli('--state-dir', second, 'run', '--scoring-port', String(scoring.port));
    expect(taken.code).toBe(7);
    expect(taken.err).toContain('port.taken');
    await removeFolder(second);
    running.child.kill('SIGKILL');
    await running.ended;
    // The port is the hosts' for a moment longer; the lock is nobody's.
    const again = begin(program, [...flags, 'run', '--scoring-port', String(scoring.port)]);
    await until('running', () => again.texts.out.includes('scoring'));
    await until(
      'scoring',
      async () =>
        (await fetch(`http://127.0.0.1:${String(scoring.port)}/v2/health/live`).catch(() => undefined))?.ok === true,
    );
    again.child.kill('SIGTERM');
    expect((await again.ended).code).toBe(0);
    await until('said goodbye', () => cloud.presences.at(-1)?.online === false);
  });
});
