/** What a container might do to the machine by what it shares with it: its folder and its link. */
import { lstat, mkdir, readdir, stat, symlink } from 'node:fs/promises';
import { connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { takePiece } from '#cloud/services/containers/collect-intake.js';
import { ReplicaDoor } from '#cloud/services/containers/replica-door.js';
import { temporaryFolder } from '#test/support/temporary-folder.js';

const path = temporaryFolder();
let count = 0;

async function opened(): Promise<{ door: ReplicaDoor; link: Socket; say: (message: object) => void }> {
  count += 1;
  const door = await ReplicaDoor.open(path(`r${String(count)}`));
  const link = connect(join(door.folder, 'link.sock'));
  link.on('error', () => undefined);
  await new Promise((resolve) => link.once('connect', resolve));
  return { door, link, say: (message) => link.write(`${JSON.stringify(message)}\n`) };
}

async function listening(socket: string): Promise<() => void> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(socket, resolve));
  return () => server.close();
}

const order = {
  ...{ id: 'r1', module: { name: 'm', version: 1, digest: `sha256:${'0'.repeat(64)}`, folder: '/m' } },
  ...{ settings: {}, labels: {}, maxBodyBytes: 1, drainMs: 1 },
} as const;

describe('the folder of a container', () => {
  it('gives its socket away, lets nobody else in, and is closed to it before it gets its order', async () => {
    const { door, link, say } = await opened();
    expect((await stat(door.folder)).mode & 0o777).toBe(0o777);
    const close = await listening(join(door.folder, 'score.sock'));
    say({ type: 'bound' });
    await door.bound;
    expect((await lstat(door.socketPath)).isSocket()).toBe(true);
    expect((await stat(door.folder)).mode & 0o777).toBe(0o555);
    expect(await readdir(door.folder)).toEqual([]);
    const got = new Promise<string>((resolve) => link.once('data', (bytes) => resolve(bytes.toString())));
    door.begin(order, path('collected'));
    expect(JSON.parse((await got).split('\n')[0] ?? '')).toEqual({ type: 'start', order });
    await door.close();
    close();
    await expect(stat(door.folder)).rejects.toThrow();
  });

  it('leads nowhere else: a link in place of the socket is refused', async () => {
    const close = await listening(path('other.sock'));
    const { door, say } = await opened();
    await symlink(path('other.sock'), join(door.folder, 'score.sock'));
    say({ type: 'bound' });
    await expect(door.bound).rejects.toThrow('something else in place of its socket');
    await expect(lstat(door.socketPath)).rejects.toThrow();
    expect((await lstat(path('other.sock'))).isSocket()).toBe(true);
    await door.close();
    close();
  });
});

describe('the link of a container', () => {
  it('is closed when it says what is no message, and tells the reason that it gave before', async () => {
    const told = await opened();
    told.say({ type: 'over', problem: { code: 'golden.mismatch', message: 'vector three' } });
    told.link.end();
    expect(await told.door.closed).toEqual({ code: 'golden.mismatch', message: 'vector three' });
    const strange = await opened();
    strange.say({ type: 'ready', problem: 'none' });
    strange.link.write('nonsense\n');
    expect(await strange.door.closed).toBeUndefined();
    expect(await strange.door.metrics({ type: 'metrics' })).toBeUndefined();
    await Promise.all([told.door.close(), strange.door.close()]);
  });

  it('brings pieces of collected data to their folder alone, and over none that is there', async () => {
    await mkdir(path('pieces'));
    const piece = '0001795695655466.model_inputs.digits.a-1.00000001.jsonl';
    for (const file of [`../${piece}`, `x/${piece}`, 'rules.json', `${piece}.open`]) {
      expect(await takePiece(path('pieces'), file, 'forged')).toBe(true);
    }
    expect(await readdir(path('pieces'))).toEqual([]);
    await takePiece(path('pieces'), piece, 'first');
    await takePiece(path('pieces'), piece, 'second');
    expect((await stat(path('pieces', piece))).size).toBe('first'.length);
  });
});
