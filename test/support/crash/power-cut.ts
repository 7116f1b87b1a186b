/**
 * What a power cut may leave of a folder. Fed with the changes that were made, in their order, it gives
 * states that the promises of a file system allow at that moment: only what was synced is sure. A name is
 * sure once its folder was synced, bytes once their file was; of the rest any part may be there: writes
 * torn at sectors, grown files full of nulls, later names without earlier ones.
 */
import { Buffer } from 'node:buffer';
import { link, mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { DiskEffect } from './disk-effects.js';

const sectorBytes = 512;

interface Inode {
  readonly isFolder: boolean;
  sure: Buffer;
  now: Buffer;
  /** Changes of the bytes since the last sync. */
  unsure: { readonly at: number; readonly data: Buffer }[];
}

type Names = Map<string, Inode>;

interface NameChange {
  readonly folders: readonly string[];
  readonly paths: readonly string[];
  readonly apply: (names: Names) => void;
}

export class PowerCutDisk {
  private readonly names: Names = new Map();
  private readonly sureNames: Names = new Map();
  private unsure: NameChange[] = [];
  private readonly open = new Map<number, { readonly path: string; readonly inode: Inode }>();

  constructor(readonly root: string) {
    const inode = folderInode();
    this.names.set(root, inode);
    this.sureNames.set(root, inode);
  }

  /** A file in the root that was there, and sure, before the first change. */
  had(path: string, data: Buffer): void {
    const inode: Inode = { ...fileInode(), sure: data, now: data };
    this.names.set(path, inode);
    this.sureNames.set(path, inode);
  }

  /** As it is while nothing is cut: bytes by path. */
  get files(): ReadonlyMap<string, Buffer> {
    return new Map([...this.names].flatMap(([path, { isFolder, now }]) => (isFolder ? [] : [[path, now] as const])));
  }

  /** A change that has ended well. */
  take(effect: DiskEffect): void {
    switch (effect.op) {
      case 'open':
        this.opened(effect.path, effect.handle, effect.truncate);
        break;
      case 'write':
        this.write(effect.handle, effect.at, effect.data);
        break;
      case 'truncate':
        this.truncate(effect.handle, effect.size);
        break;
      case 'sync':
        this.synced(effect.handle);
        break;
      case 'rename':
        this.rename(effect.path, effect.to);
        break;
      case 'link':
        this.link(effect.path, effect.to);
        break;
      case 'copy': {
        const bytes = this.names.get(effect.path)?.now ?? Buffer.alloc(0);
        const inode: Inode = { ...fileInode(), now: bytes, unsure: [{ at: 0, data: bytes }] };
        this.change([effect.to], (names) => names.set(effect.to, inode));
        break;
      }
      case 'remove':
        this.change([effect.path], (names) => {
          for (const name of [...names.keys()]) if (isWithin(name, effect.path)) names.delete(name);
        });
        break;
      case 'mkdir':
        this.made(effect.path);
        break;
      case 'mode':
        break;
    }
  }

  /** One of the states that a cut now may leave, made in an empty folder. */
  async cut(target: string, random: () => number): Promise<void> {
    const names = this.namesAfterCut(random);
    const bytes = new Map<Inode, Buffer>();
    const places = new Map<Inode, string>();
    const folders = new Set([this.root]);
    for (const [path, inode] of [...names].sort(([a], [b]) => (a < b ? -1 : 1))) {
      if (path === this.root) continue;
      // A name in a folder whose own name is lost, or that of a folder above, is lost with it.
      if (!folders.has(dirname(path))) continue;
      const place = join(target, path.slice(this.root.length));
      if (inode.isFolder) {
        folders.add(path);
        await mkdir(place, { recursive: true });
        continue;
      }
      const first = places.get(inode);
      if (first === undefined) {
        const left = bytes.get(inode) ?? bytesAfterCut(inode, random);
        bytes.set(inode, left);
        await writeFile(place, left);
        places.set(inode, place);
      } else await link(first, place);
    }
  }

  private opened(path: string, handle: number, truncate: boolean): void {
    let inode = this.names.get(path);
    if (inode === undefined) {
      const fresh = fileInode();
      inode = fresh;
      this.change([path], (names) => names.set(path, fresh));
    } else if (truncate && !inode.isFolder) {
      inode.now = Buffer.alloc(0);
      inode.sure = Buffer.alloc(0);
      inode.unsure = [];
    }
    this.open.set(handle, { path, inode });
  }

  private write(handle: number, at: number, data: Buffer): void {
    const inode = this.open.get(handle)?.inode;
    if (inode === undefined) return;
    inode.now = written(inode.now, at, data);
    inode.unsure.push({ at, data: Buffer.from(data) });
  }

  /** Cutting off is taken as sure at once: what it cuts off is of no use to anyone. */
  private truncate(handle: number, size: number): void {
    const inode = this.open.get(handle)?.inode;
    if (inode === undefined) return;
    const grown = Buffer.alloc(Math.max(0, size - inode.now.length));
    if (grown.length > 0) inode.unsure.push({ at: inode.now.length, data: grown });
    inode.now = Buffer.concat([inode.now.subarray(0, size), grown]);
    inode.sure = inode.sure.subarray(0, size);
  }

  private rename(path: string, to: string): void {
    this.change([path, to], (names) => {
      for (const [name, inode] of [...names]) {
        if (!isWithin(name, path)) continue;
        names.delete(name);
        names.set(`${to}${name.slice(path.length)}`, inode);
      }
    });
  }

  private link(path: string, to: string): void {
    this.change([path, to], (names) => {
      const inode = names.get(path);
      if (inode !== undefined) names.set(to, inode);
    });
  }

  private made(path: string): void {
    if (path === this.root || this.names.has(path)) return;
    this.made(dirname(path));
    const inode = folderInode();
    this.change([path], (names) => names.set(path, inode));
  }

  private synced(handle: number): void {
    const file = this.open.get(handle);
    if (file === undefined) return;
    const { inode, path } = file;
    if (!inode.isFolder) {
      inode.sure = inode.now;
      inode.unsure = [];
      return;
    }
    // What a change stands on is as sure as it is.
    const folders = new Set([path]);
    const sure = new Set<NameChange>();
    for (const change of [...this.unsure].reverse()) {
      if (!change.folders.some((folder) => folders.has(folder))) continue;
      for (const folder of change.folders) folders.add(folder);
      sure.add(change);
    }
    for (const change of this.unsure) if (sure.has(change)) change.apply(this.sureNames);
    this.unsure = this.unsure.filter((change) => !sure.has(change));
  }

  private change(paths: readonly string[], apply: (names: Names) => void): void {
    apply(this.names);
    this.unsure.push({ paths, folders: paths.map((path) => dirname(path)), apply });
  }

  /** Half of the time in order, as a journal keeps it; else any, as long as each stands on what it needs. */
  private namesAfterCut(random: () => number): Names {
    const names: Names = new Map(this.sureNames);
    const upTo = Math.floor(random() * (this.unsure.length + 1));
    const inOrder = random() < 0.5;
    const missed = new Set<string>();
    for (const [index, change] of this.unsure.entries()) {
      const comes = inOrder ? index < upTo : random() < 0.6;
      const blocked = change.paths.some((path) => [...missed].some((other) => isWithin(path, other)));
      if (comes && !blocked) change.apply(names);
      else for (const path of change.paths) missed.add(path);
    }
    return names;
  }
}

function fileInode(): Inode {
  return { isFolder: false, sure: Buffer.alloc(0), now: Buffer.alloc(0), unsure: [] };
}

function folderInode(): Inode {
  return { ...fileInode(), isFolder: true };
}

function isWithin(path: string, folder: string): boolean {
  return path === folder || path.startsWith(`${folder}/`);
}

function written(bytes: Buffer, at: number, data: Buffer): Buffer {
  const result = Buffer.alloc(Math.max(bytes.length, at + data.length));
  bytes.copy(result);
  data.copy(result, at);
  return result;
}

function bytesAfterCut(inode: Inode, random: () => number): Buffer {
  let bytes = inode.sure;
  const kind = random();
  if (kind < 0.2) return bytes;
  if (kind < 0.4) return inode.now;
  // Grown to its size, with nulls where no bytes came.
  if (kind < 0.55) return Buffer.concat([bytes, Buffer.alloc(Math.max(0, inode.now.length - bytes.length))]);
  for (const { at, data } of inode.unsure) {
    for (let start = 0; start < data.length; start += sectorBytes) {
      if (random() < 0.5) bytes = written(bytes, at + start, data.subarray(start, start + sectorBytes));
    }
  }
  return bytes;
}
