/**
 * Sites that let next to nothing out: one where only HTTPS to the control plane leaves, and one where
 * only an HTTP proxy is reached, by a device whose clock stands in 1971. Built programs in a network
 * namespace with a real firewall.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Environment, runProgram } from '#cloud/quickstart/program.js';
import { ownPort } from '#test/support/own-port.js';
import { NetworkNamespace } from '../support/network/namespace.js';
import { findTool, hasOutsideTools, outsideTool } from '../support/outside-tool.js';
import { repository, World } from '../support/world.js';

const module = join(repository, 'modules/digits');
const httpsPort = 443;
const proxyPort = 3128;
const credentials = 'site:a-word-of-the-site';

const asRoot = process.getuid?.() === 0;
if (!asRoot) console.warn('skipped: a site behind a firewall needs root, for a network namespace');

/** What `faketime` sets for a program: itself it would stand between us and the agent. */
async function clockAt(time: string): Promise<Environment> {
  const { stdout } = await promisify(execFile)(outsideTool('faketime'), [time, 'env']);
  const [, library = ''] = /^LD_PRELOAD=(.*)$/m.exec(stdout) ?? [];
  const [, fake = ''] = /^FAKETIME=(.*)$/m.exec(stdout) ?? [];
  return { LD_PRELOAD: library, FAKETIME: fake, DONT_FAKE_MONOTONIC: '1' };
}

describe.skipIf(!asRoot || !hasOutsideTools('ip', 'nft', 'faketime', 'tinyproxy'))('a site behind a firewall', () => {
  let site: NetworkNamespace;
  let world: World;
  let proxy: ChildProcess | undefined;

  beforeAll(async () => {
    const opened = await NetworkNamespace.open(40);
    if (opened === undefined) throw new Error('no network namespace can be made here');
    site = opened;
    const { outside } = site;
    const brokerPort = await ownPort();
    world = await World.create({
      brokerPort,
      gatewayPort: httpsPort,
      agentPrefix: site.prefix,
      cloud: () => ({
        FLOTILLA_GATEWAY_HOST: outside,
        FLOTILLA_BROKER_HOST: outside,
        FLOTILLA_GATEWAY_ADVERTISE_URL: `https://${outside}`,
      }),
    });
    await world.open();
    await world.flotilla('image', 'build', module);
  });
  afterAll(async () => {
    await world.close();
    proxy?.kill();
    await site.close();
  });

  /** Nothing leaves the site but TCP to one port of the other end. */
  const leaveOnly = async (port: number): Promise<void> => {
    await site.exec('nft', 'add table inet site; delete table inet site; add table inet site');
    await site.exec('nft', 'add chain inet site out { type filter hook output priority 0; policy drop; }');
    await site.exec('nft', 'add rule inet site out oifname lo accept');
    await site.exec('nft', `add rule inet site out ip daddr ${site.outside} tcp dport ${String(port)} accept`);
  };
  const reaches = async (port: number): Promise<boolean> => {
    const program = `const s = require('net').connect(${String(port)}, '${site.outside}');
      s.on('connect', () => process.exit(0)); s.on('error', () => process.exit(1));
      setTimeout(() => process.exit(1), 1000);`;
    return site.exec(process.execPath, '-e', program).then(
      () => true,
      () => false,
    );
  };
  /** By the device's own port, from within the site. */
  const score = async (port: number): Promise<string> => {
    const body = await readFile(join(module, 'fixtures/digit.json'), 'utf8');
    const program = `fetch('http://127.0.0.1:${String(port)}/v2/models/digits/infer',
      { method: 'POST', headers: { 'content-type': 'application/json' }, body: process.argv[1] })
      .then(async (r) => console.log(r.status, await r.text()));`;
    return site.exec(process.execPath, '-e', program, body);
  };

  it('enrols a device, deploys to it and has it score where only port 443 of the control plane leaves', async () => {
    await leaveOnly(httpsPort);
    expect(await reaches(httpsPort)).toBe(true);
    expect(await reaches(world.ports.broker)).toBe(false);
    expect(await reaches(world.ports.api)).toBe(false);

    await world.enrol('cam-1');
    const port = await ownPort();
    const agent = await world.startAgent('cam-1', port);
    await world.flotilla('deploy', 'digits:1', '--device', 'cam-1', '--timeout', '60s');
    expect(await score(port)).toMatch(/^200 .*"outputs"/);
    expect(agent.output).toContain(`wss://${site.outside}`);
    await agent.stop();
  });

  it('does the same through an HTTP proxy with a password, by a device whose clock stands in 1971', async () => {
    const configuration = join(world.folder, 'tinyproxy.conf');
    const lines = [
      ...[`Port ${String(proxyPort)}`, `Listen ${site.outside}`, `BasicAuth ${credentials.replace(':', ' ')}`],
      ...[`ConnectPort ${String(httpsPort)}`, `ConnectPort ${String(world.ports.broker)}`, 'MaxClients 20'],
      ...['Timeout 600', `LogFile "${join(world.folder, 'tinyproxy.log')}"`, 'LogLevel Connect'],
    ];
    await writeFile(configuration, `${lines.join('\n')}\n`);
    proxy = spawn(findTool('tinyproxy') ?? 'tinyproxy', ['-d', '-c', configuration], { stdio: 'ignore' });
    await leaveOnly(proxyPort);
    await world.cloud?.until('the proxy answering', 10_000, async () =>
      (await reaches(proxyPort)) ? true : undefined,
    );
    expect(await reaches(httpsPort)).toBe(false);

    const port = await ownPort();
    const env: Environment = {
      ...world.agentEnvironment('cam-2', port),
      HTTPS_PROXY: `http://${credentials}@${site.outside}:${String(proxyPort)}`,
      ...(await clockAt('1971-01-01 00:00:00')),
    };
    const { prefix } = site;
    const { token } = (await world.flotillaJson('device', 'token')) as { token: string };
    await runProgram({
      build: join(repository, 'dist'),
      name: 'flotilla-agent',
      args: ['enroll', '--token', token, '--name', 'cam-2'],
      env,
      prefix,
    });
    const agent = world.start('flotilla-agent', ['run'], env, prefix);
    await world.flotilla('deploy', 'digits:1', '--device', 'cam-2', '--timeout', '60s');
    expect(await score(port)).toMatch(/^200 .*"outputs"/);
    expect(agent.output).toContain('"time":3');
    expect(agent.output).not.toContain('a-word-of-the-site');
    const seen = await readFile(join(world.folder, 'tinyproxy.log'), 'utf8');
    expect(seen).toContain(`CONNECT ${site.outside}:${String(world.ports.broker)}`);
    await agent.stop();
  });
});
