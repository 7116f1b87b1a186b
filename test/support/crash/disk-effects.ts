/**
 * Sees every change that this process makes to the disk below a folder, before it is made and after.
 * It stands in front of `node:fs`, so that no program carries a hook for it. What native code writes
 * (SQLite) does not pass here.
 */
import { Buffer } from 'node:buffer';
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { join, resolve } from 'node:path';

export type DiskEffect =
  /** `handle` names the open file in later effects, whatever its path is by then. */
  | { readonly op: 'open'; readonly path: string; readonly handle: number; readonly truncate: boolean }
  | { readonly op: 'write'; readonly path: string; readonly handle: number; readonly at: number; readonly data: Buffer }
  | { readonly op: 'truncate'; readonly path: string; readonly handle: number; readonly size: number }
  /** Of a file or a folder. */
  | { readonly op: 'sync'; readonly path: string; readonly handle: number }
  | { readonly op: 'rename' | 'link' | 'copy'; readonly path: string; readonly to: string }
  | { readonly op: 'remove' | 'mkdir' | 'mode'; readonly path: string };

export interface DiskWatch {
  /** Below this. */
  readonly root: string;
  /** Folders directly in the root that are of no interest. */
  readonly except: readonly string[];
  /** Called before the change; `tear` lets half of a write through before `torn` is called. */
  readonly before: (effect: DiskEffect) => 'tear' | undefined;
  readonly torn: () => void;
  /** The call has ended well. */
  readonly after: (effect: DiskEffect) => void;
}

type Call = (...args: never[]) => unknown;
type Calls = Record<string, Call>;
interface OpenFile {
  readonly path: string;
  readonly number: number;
  position: number;
}
type Handle = fs.promises.FileHandle;

/** @returns puts everything back */
export async function watchDisk(watch: DiskWatch): Promise<() => void> {
  const root = resolve(watch.root);
  const outside = watch.except.map((name) => join(root, name));
  const isWatched = (path: unknown): path is string => {
    if (typeof path !== 'string') return false;
    const full = resolve(path);
    if (full !== root && !full.startsWith(`${root}/`)) return false;
    return !outside.some((each) => full === each || full.startsWith(`${each}/`));
  };

  const undo: (() => void)[] = [];
  const replace = (on: object, name: string, make: (original: Call) => Call): void => {
    const calls = on as Calls;
    const original = calls[name];
    if (original === undefined) return;
    calls[name] = make(original);
    undo.push(() => {
      calls[name] = original;
    });
  };
  const around = async <T>(effect: DiskEffect, call: () => Promise<T>): Promise<T> => {
    watch.before(effect);
    const result = await call();
    watch.after(effect);
    return result;
  };

  const files = new WeakMap<object, OpenFile>();
  let handles = 0;
  replace(fs.promises, 'open', (original) => {
    const open = original as unknown as typeof fs.promises.open;
    return async (path: string, flags: string | number = 'r', mode?: number) => {
      if (!isWatched(path)) return open(path, flags, mode);
      handles += 1;
      const number = handles;
      const writes = typeof flags === 'number' || flags !== 'r';
      const effect = {
        op: 'open',
        path: resolve(path),
        handle: number,
        truncate: String(flags).startsWith('w'),
      } as const;
      const size = String(flags).startsWith('a')
        ? ((await fs.promises.stat(path).catch(() => undefined))?.size ?? 0)
        : 0;
      // Reading changes nothing, but a folder is opened so to be synced.
      if (writes) watch.before(effect);
      const handle = await open(path, flags, mode);
      watch.after(effect);
      files.set(handle, { path: resolve(path), number, position: size });
      return handle;
    };
  });

  const probe = await fs.promises.open('/dev/null', 'r');
  const prototype = Object.getPrototypeOf(probe) as object;
  await probe.close();

  const write = async (
    handle: Handle,
    data: Buffer,
    at: number | undefined,
    whole: () => Promise<unknown>,
    half: (part: Buffer) => Promise<unknown>,
  ): Promise<unknown> => {
    const file = files.get(handle);
    if (file === undefined) return whole();
    const effect = { op: 'write', path: file.path, handle: file.number, at: at ?? file.position, data } as const;
    if (watch.before(effect) === 'tear') {
      await half(data.subarray(0, Math.floor(data.length / 2)));
      watch.torn();
    }
    const result = await whole();
    if (at === undefined) file.position += data.length;
    watch.after(effect);
    return result;
  };
  for (const name of ['writeFile', 'appendFile']) {
    replace(prototype, name, (original) => {
      const call = original as unknown as (this: Handle, data: string | Uint8Array, options?: object) => Promise<void>;
      return async function patched(this: Handle, data: string | Uint8Array, options?: object) {
        const bytes = typeof data === 'string' ? Buffer.from(data) : Buffer.from(data);
        await write(
          this,
          bytes,
          undefined,
          () => call.call(this, data, options),
          (part) => call.call(this, part),
        );
      } as unknown as Call;
    });
  }
  replace(prototype, 'write', (original) => {
    type Write = (this: Handle, data: Uint8Array | string, ...rest: (number | null | undefined)[]) => Promise<unknown>;
    const call = original as unknown as Write;
    return async function patched(this: Handle, data: Uint8Array | string, ...rest: (number | null | undefined)[]) {
      const [offset = 0, length, position] = rest;
      if (typeof data === 'string')
        return write(
          this,
          Buffer.from(data),
          undefined,
          () => call.call(this, data, ...rest),
          (part) => call.call(this, part),
        );
      const from = offset ?? 0;
      const bytes = Buffer.from(
        data.subarray(from, length === undefined || length === null ? undefined : from + length),
      );
      const at = position ?? undefined;
      return write(
        this,
        bytes,
        at,
        () => call.call(this, data, ...rest),
        (part) => call.call(this, part, 0, part.length, position),
      );
    } as unknown as Call;
  });
  for (const name of ['sync', 'datasync']) {
    replace(prototype, name, (original) => {
      const call = original as unknown as (this: Handle) => Promise<void>;
      return async function patched(this: Handle) {
        const file = files.get(this);
        if (file === undefined) return call.call(this);
        return around({ op: 'sync', path: file.path, handle: file.number }, () => call.call(this));
      } as unknown as Call;
    });
  }
  replace(prototype, 'truncate', (original) => {
    const call = original as unknown as (this: Handle, size?: number) => Promise<void>;
    return async function patched(this: Handle, size = 0) {
      const file = files.get(this);
      if (file === undefined) return call.call(this, size);
      return around({ op: 'truncate', path: file.path, handle: file.number, size }, () => call.call(this, size));
    } as unknown as Call;
  });

  for (const [name, flag] of [
    ['writeFile', 'w'],
    ['appendFile', 'a'],
  ] as const) {
    replace(fs.promises, name, (original) => {
      type Options = { flag?: string; mode?: number } | string;
      const call = original as unknown as (
        path: unknown,
        data: string | Uint8Array,
        options?: Options,
      ) => Promise<void>;
      return async (path: unknown, data: string | Uint8Array, options?: Options) => {
        if (!isWatched(path)) return call(path, data, options);
        const more = typeof options === 'object' ? options : {};
        const handle = await fs.promises.open(path, more.flag ?? flag, more.mode);
        try {
          await handle.writeFile(data);
        } finally {
          await handle.close();
        }
      };
    });
  }

  const twoPaths = { rename: 'rename', link: 'link', copyFile: 'copy' } as const;
  for (const [name, op] of Object.entries(twoPaths)) {
    replace(fs.promises, name, (original) => {
      const call = original as unknown as (from: string, to: string, ...rest: unknown[]) => Promise<void>;
      return async (from: string, to: string, ...rest: unknown[]) => {
        if (!isWatched(from) && !isWatched(to)) return call(from, to, ...rest);
        return around({ op, path: resolve(from), to: resolve(to) }, () => call(from, to, ...rest));
      };
    });
  }
  const onePath = { rm: 'remove', unlink: 'remove', rmdir: 'remove', mkdir: 'mkdir', chmod: 'mode' } as const;
  for (const [name, op] of Object.entries(onePath)) {
    replace(fs.promises, name, (original) => {
      const call = original as unknown as (path: string, ...rest: unknown[]) => Promise<unknown>;
      return async (path: string, ...rest: unknown[]) => {
        // What is not there is not removed, and what is there is not made.
        const changes = isWatched(path) && fs.existsSync(path) !== (op === 'mkdir');
        return changes ? around({ op, path: resolve(path) }, () => call(path, ...rest)) : call(path, ...rest);
      };
    });
  }
  syncBuiltinESMExports();
  return () => {
    for (const each of undo.reverse()) each();
    syncBuiltinESMExports();
  };
}
