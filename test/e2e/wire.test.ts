import { type ChildProcess, spawn } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ownPort } from '#test/support/own-port.js';
import { deviceFilters, parseTopic } from '#shared/protocol/topics.js';
import { findTool, hasOutsideTools, outsideTool } from '../support/outside-tool.js';
import { repository, World } from '../support/world.js';

const module = join(repository, 'modules/digits');

/** PEM files: a certificate and its key. */
interface BrokerUser {
  readonly name: string;
  readonly certificate: string;
  readonly key: string;
}

/** One of Mosquitto's own clients, as somebody. */
class Client {
  static readonly running = new Set<Client>();
  private readonly child: ChildProcess;
  lines: string[] = [];
  readonly exited: Promise<number | null>;

  constructor(
    tool: 'mosquitto_sub' | 'mosquitto_pub',
    world: World,
    user: BrokerUser | undefined,
    args: readonly string[],
  ) {
    this.child = spawn(outsideTool(tool), [
      ...['-h', 'localhost', '-p', String(world.ports.broker), '-V', 'mqttv311'],
      ...['--cafile', join(world.dataDir, 'keys/authority.crt')],
      ...(user === undefined ? [] : ['-i', user.name, '--cert', user.certificate, '--key', user.key]),
      ...args,
    ]);
    let rest = '';
    this.child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      const parts = (rest + text).split('\n');
      rest = parts.pop() ?? '';
      this.lines.push(...parts);
    });
    Client.running.add(this);
    this.exited = new Promise((resolve) => this.child.once('exit', resolve));
    void this.exited.then(() => Client.running.delete(this));
  }

  topics(): string[] {
    return [...new Set(this.lines.map((line) => line.split(' ', 1)[0] ?? ''))];
  }

  async stop(): Promise<void> {
    this.child.kill();
    await this.exited;
  }
}

describe.each(['embedded', 'mosquitto'] as const)('the wire of a deployment over the %s broker', (kind) => {
  const tools = kind === 'mosquitto' ? ['mosquitto', 'mosquitto_sub'] : ['mosquitto_sub'];
  describe.skipIf(!hasOutsideTools(...tools, 'mosquitto_pub'))('watched by clients that others wrote', () => {
    let world: World;
    let mosquitto: ChildProcess | undefined;
    let admin: BrokerUser;
    let device: BrokerUser;

    beforeAll(async () => {
      world = await World.create(kind === 'mosquitto' ? { broker: 'external' } : {});
      if (kind === 'mosquitto') {
        // The control plane writes Mosquitto's configuration; it comes up when Mosquitto does.
        const opening = world.open();
        const configuration = join(world.dataDir, 'broker/mosquitto/mosquitto.conf');
        await world.cloud?.until('writing the configuration', 20_000, async () =>
          (await readFile(configuration).catch(() => undefined)) ? true : undefined,
        );
        mosquitto = spawn(findTool('mosquitto') ?? 'mosquitto', ['-c', configuration], { stdio: 'ignore' });
        await opening;
      } else {
        await world.open();
      }
      await world.flotilla('image', 'build', module);
      await world.enrol('cam-1');
      await world.enrol('cam-2');
      admin = {
        name: '$admin',
        certificate: join(world.dataDir, 'broker/admin.crt'),
        key: join(world.dataDir, 'broker/admin.key'),
      };
      const identity = (await document(join(world.folder, 'cam-2/identity.json'))) as Record<string, string>;
      device = {
        name: 'default/cam-2',
        certificate: join(world.folder, 'cam-2.crt'),
        key: join(world.folder, 'cam-2.key'),
      };
      await writeFile(device.certificate, identity['certificate'] ?? '');
      await writeFile(device.key, identity['privateKey'] ?? '', { mode: 0o600 });
    });
    afterAll(async () => {
      for (const client of Client.running) await client.stop();
      await world.close();
      mosquitto?.kill();
    });

    it('fits the grammar in every topic, as an admin sees it, and a device sees only its own part', async () => {
      const all = new Client('mosquitto_sub', world, admin, ['-t', '#', '-F', '%t']);
      const own = new Client('mosquitto_sub', world, device, [
        ...deviceFilters({ workspace: 'default', device: 'cam-2' }).flatMap((filter) => ['-t', filter]),
        ...['-F', '%t'],
      ]);
      const agent = await world.startAgent('cam-1', await ownPort());
      await world.flotilla('deploy', 'digits:1', '--device', 'cam-1', '--timeout', '60s');
      await world.flotilla(
        ...['score', '--device', 'cam-1', '--module', 'digits', '--input', join(module, 'fixtures/digit.json')],
      );
      const channelsSeen = await agent.until('seen by the admin', 20_000, () => {
        const seen = new Set(all.topics().map((topic) => parseTopic(topic)?.channel));
        return seen.has('telemetry') && seen.has('acks') && seen.has('commandResponse') ? seen : undefined;
      });
      await own.stop();
      // One session a device: the next one starts when the last has ended.
      const wide = new Client('mosquitto_sub', world, device, ['-t', '#', '-t', 'flotilla/v1/+/cam-1/#', '-F', '%t']);
      const before = all.lines.length;
      await agent.until('heard again by the admin', 20_000, () =>
        all.lines.slice(before).some((line) => line.includes('cam-1/telemetry')) ? true : undefined,
      );
      for (const client of [all, wide]) await client.stop();

      expect(all.topics().filter((topic) => parseTopic(topic) === undefined)).toEqual([]);
      expect([...channelsSeen]).toEqual(
        expect.arrayContaining(['desired', 'desiredGet', 'reported', 'presence', 'blocksGet', 'blocksData']),
      );
      const foreign = (client: Client): string[] => client.topics().filter((topic) => topic.includes('cam-1'));
      expect(foreign(own)).toEqual([]);
      expect(foreign(wide)).toEqual([]);
      console.log(`${kind}: ${[...channelsSeen].sort().join(' ')}`);
    });

    it('keeps a device from writing its own desired state, and anyone without a certificate out', async () => {
      const watch = new Client('mosquitto_sub', world, admin, ['-t', 'flotilla/v1/default/cam-2/#', '-v']);
      const forged = new Client('mosquitto_pub', world, device, [
        ...['-t', 'flotilla/v1/default/cam-2/desired', '-r', '-q', '1', '-m', 'forged'],
      ]);
      await forged.exited;
      // Again until it is seen: who watches may subscribe only now. What is retained, as the forged one would be, waits.
      await world.cloud?.until('relaying the rightful message', 20_000, async () => {
        const rightful = new Client('mosquitto_pub', world, device, [
          ...['-t', 'flotilla/v1/default/cam-2/events', '-q', '1', '-m', 'rightful'],
        ]);
        expect(await rightful.exited).toBe(0);
        return watch.lines.some((line) => line.endsWith(' rightful')) ? true : undefined;
      });
      await watch.stop();
      expect(watch.lines.filter((line) => line.includes('forged'))).toEqual([]);

      const stranger = new Client('mosquitto_pub', world, undefined, [
        ...['-t', 'flotilla/v1/default/cam-2/events', '-m', 'stranger'],
      ]);
      expect(await stranger.exited).not.toBe(0);
      expect(await handshake(world, [])).toMatch(/alert (number|.*certificate required)/);
      expect(await handshake(world, ['-cert', device.certificate, '-key', device.key])).not.toContain('alert');
    });
  });
});

/** What OpenSSL says of a connection; with TLS 1.3 a server refuses after the client believes that all is well. */
async function handshake(world: World, args: readonly string[]): Promise<string> {
  const child = spawn(outsideTool('openssl'), [
    ...['s_client', '-connect', `localhost:${String(world.ports.broker)}`, '-CAfile'],
    ...[join(world.dataDir, 'keys/authority.crt'), ...args],
  ]);
  let said = '';
  for (const output of [child.stdout, child.stderr]) output.on('data', (data: Buffer) => (said += data.toString()));
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  // Time enough for the refusal to come.
  setTimeout(() => child.stdin.end(), 500);
  await exited;
  return said;
}

/** The content of one of our checksummed files. */
async function document(path: string): Promise<unknown> {
  const text = await readFile(path, 'utf8');
  return JSON.parse(text.slice(text.indexOf('{')));
}
