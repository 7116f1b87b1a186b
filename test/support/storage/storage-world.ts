/** A local storage on a control database of its own, with two workspaces; a kill is what a kill leaves. */
import { appendFile, mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { LocalStorage } from '#cloud/storage/local-storage.js';
import type { StorageBatch } from '#cloud/storage/workspace-storage.js';
import { type ControlStore, openControlDatabase } from '#cloud/store/control-database.js';

export const start = Date.parse('2026-11-26T11:30:00.000Z');
export const hour = Math.floor(start / 3_600_000);

export class StorageWorld {
  now = start;
  /** The next commit fails, as on a full disk: bytes are written, and do not count. */
  failing = false;

  private constructor(
    readonly folder: string,
    readonly control: ControlStore,
    public storage: LocalStorage,
  ) {}

  static async open(): Promise<StorageWorld> {
    const folder = await mkdtemp(join(tmpdir(), 'flotilla-storage-'));
    const control = await openControlDatabase(join(folder, 'control.db'));
    const createdAt = new Date(start).toISOString();
    for (const name of ['w', 'v']) await control.insertInto('workspaces').values({ name, createdAt }).execute();
    const world: StorageWorld = new StorageWorld(folder, control, undefined as never);
    await world.reopen();
    return world;
  }

  /** Bytes were written that do not count yet, and the process is gone. */
  async killedBehind(path: string): Promise<void> {
    const whole = join(this.folder, 'storage', 'w', path);
    await mkdir(dirname(whole), { recursive: true });
    await appendFile(whole, '{"half');
    await this.reopen();
  }

  async reopen(): Promise<void> {
    const failing = new Proxy(this.control, {
      get: (target, name) => {
        const member: unknown = Reflect.get(target, name);
        if (name === 'transaction' && this.failing) throw new Error('the disk is full');
        return typeof member === 'function' ? (member.bind(target) as unknown) : member;
      },
    });
    this.storage = await LocalStorage.open(failing, join(this.folder, 'storage'), { now: () => this.now });
  }

  async text(path: string, workspace = 'w'): Promise<string> {
    const { open } = await this.storage.read(workspace, path);
    let text = '';
    for await (const piece of open()) text += String(piece);
    return text;
  }

  async paths(workspace = 'w', prefix = ''): Promise<string[]> {
    return (await this.storage.list(workspace, prefix, 1_000)).map(({ path }) => path);
  }

  /** What lies on the disk, whatever counts. */
  async onDisk(): Promise<string[]> {
    const entries = await readdir(join(this.folder, 'storage'), { recursive: true, withFileTypes: true }).catch(
      () => [],
    );
    return entries.flatMap((entry) => (entry.isFile() ? [entry.name] : []));
  }

  async close(): Promise<void> {
    await this.control.destroy();
    await rm(this.folder, { recursive: true, force: true });
  }
}

export function batch(
  sequence: number,
  text: string,
  more: Partial<StorageBatch> & { path?: string } = {},
): StorageBatch {
  const { path = 'a/1.jsonl', ...rest } = more;
  return {
    ...{ workspace: 'w', source: 'device/d/1', sequence, parts: [{ path, hour, bytes: Buffer.from(text) }] },
    ...rest,
  };
}
