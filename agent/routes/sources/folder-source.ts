/**
 * Files that are put in a folder. They are looked for again and again: what is told by the system is no better
 * where folders are mounted from elsewhere. A file counts once two looks found it alike, so that half-written
 * ones are waited for; at most so many are taken as the queue has room for, the others wait where they are.
 *
 * Invariants: nothing outside the root is read, moved or removed, whatever links lie about; a file is in hand
 * once; looking takes a tenth of the time at most, however many files there are.
 */
import { constants, type Stats } from 'node:fs';
import { lstat, mkdir, open, opendir, realpath, rename, unlink } from 'node:fs/promises';
import { join, relative, sep } from 'node:path';
import type { Clock } from '#shared/kernel/clock.js';
import { messageOf } from '#shared/kernel/errors.js';
import { diskError, errno } from '#shared/platform/atomic-file.js';
import { isThere } from '#shared/platform/is-there.js';
import { type LossReason, RouteFault, type RouteItem } from '../payload.js';
import { matcherOf } from './name-pattern.js';
import type { Source, SourcePorts } from './source.js';

export interface FolderPlan {
  readonly folder: string;
  readonly match: string;
  readonly whatThen: 'delete' | 'move' | 'keep';
}

export interface FolderPorts extends SourcePorts {
  readonly clock: Clock;
  /** Below which it lies. */
  readonly root: string;
  /** Larger files are not read. */
  readonly maxBytes: number;
  /** Between two looks, at least. */
  readonly everyMs: number;
}

/** Looked at in one go; the others come later. */
const maxLooked = 2000;
const maxSuffix = 10_000;

type Signature = string;

export class FolderSource implements Source {
  private readonly stopping = new AbortController();
  private readonly done: Promise<void>;
  private readonly matches: (name: string) => boolean;
  private readonly inHand = new Set<string>();
  /** As the last look found them. */
  private seen = new Map<string, Signature>();
  /** Answered, and kept. */
  private readonly kept = new Map<string, Signature>();

  constructor(
    private readonly plan: FolderPlan,
    private readonly ports: FolderPorts,
  ) {
    this.matches = matcherOf(plan.match);
    this.done = this.watch();
  }

  async stop(): Promise<void> {
    this.stopping.abort();
    await this.done;
  }

  private async watch(): Promise<void> {
    const { clock, queue, everyMs, onProblem } = this.ports;
    const { signal } = this.stopping;
    while (!signal.aborted) {
      const began = clock.monotonic();
      try {
        await this.look();
        onProblem(undefined);
      } catch (error) {
        onProblem(messageOf(error));
      }
      await clock.sleep(Math.max(everyMs, 9 * (clock.monotonic() - began)), signal);
      await queue.room(1, signal);
    }
  }

  private async look(): Promise<void> {
    const folder = await this.contained();
    const now = new Map<string, Signature>();
    const names: string[] = [];
    for await (const entry of await opendir(folder, { bufferSize: 256 })) {
      if (this.stopping.signal.aborted) return;
      const { name } = entry;
      if (!entry.isFile() || name.startsWith('.') || this.inHand.has(name) || !this.matches(name)) continue;
      names.push(name);
      if (names.length >= maxLooked + this.kept.size) break;
    }
    for (const name of names.sort()) {
      const signature = await signatureOf(join(folder, name));
      if (signature === undefined || this.kept.get(name) === signature) continue;
      now.set(name, signature);
      if (this.seen.get(name) !== signature || !this.ports.queue.hasRoom(0)) continue;
      this.take(folder, name, signature);
      now.delete(name);
    }
    this.seen = now;
    const there = new Set(names);
    for (const name of this.kept.keys()) if (!there.has(name)) this.kept.delete(name);
  }

  private take(folder: string, name: string, signature: Signature): void {
    const path = join(folder, name);
    this.inHand.add(name);
    this.ports.onEntered();
    const item: RouteItem = {
      // Nothing is read before its turn.
      bytes: 0,
      source: name,
      load: () => readBounded(path, this.ports.maxBytes),
      settled: (outcome) => void this.settle(folder, name, signature, outcome),
    };
    if (this.ports.queue.offer(item) !== 'taken') this.inHand.delete(name);
  }

  private async settle(
    folder: string,
    name: string,
    signature: Signature,
    outcome: 'answered' | LossReason,
  ): Promise<void> {
    const { whatThen } = this.plan;
    try {
      // What was not answered because its route ended waits for the next one.
      if (outcome === 'gone') return;
      if (whatThen === 'keep') this.kept.set(name, signature);
      else if (outcome !== 'answered') await moveTo(folder, name, 'failed');
      else if (whatThen === 'move') await moveTo(folder, name, 'done');
      else await unlink(join(folder, name));
    } catch (error) {
      if (errno(error) === 'ENOENT') return;
      // It stays: as one that is kept, or it would be taken again and again.
      this.kept.set(name, signature);
      this.ports.onProblem(`${name} cannot be put away: ${messageOf(error)}`);
    } finally {
      this.inHand.delete(name);
    }
  }

  /** The folder as it really is: made where it is missing, and below the root still. */
  private async contained(): Promise<string> {
    const { root } = this.ports;
    try {
      const path = join(root, this.plan.folder);
      await mkdir(path, { recursive: true, mode: 0o770 });
      const [realRoot, real] = [await realpath(root), await realpath(path)];
      const inside = relative(realRoot, real);
      if (inside === '' || inside === '..' || inside.startsWith(`..${sep}`)) {
        throw new RouteFault('failed', `${path} leads out of ${root}: no link may`);
      }
      return real;
    } catch (error) {
      throw error instanceof RouteFault ? error : diskError(error, `cannot look into ${this.plan.folder} in ${root}`);
    }
  }
}

async function signatureOf(path: string): Promise<Signature | undefined> {
  try {
    const stats = await lstat(path);
    return stats.isFile() ? textOf(stats) : undefined;
  } catch (error) {
    if (errno(error) === 'ENOENT') return undefined;
    throw error;
  }
}

function textOf({ size, mtimeMs, ino }: Stats): Signature {
  return `${String(size)} ${String(mtimeMs)} ${String(ino)}`;
}

/** @throws RouteFault `too-large`, `gone` for a file that went, `failed` */
async function readBounded(path: string, maxBytes: number): Promise<Buffer> {
  try {
    const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    try {
      const stats = await file.stat();
      if (!stats.isFile()) throw new RouteFault('failed', `${path} is no file`);
      if (stats.size > maxBytes) {
        throw new RouteFault(
          'too-large',
          `${path} has ${String(stats.size)} bytes, at most ${String(maxBytes)} are taken`,
        );
      }
      const bytes = Buffer.alloc(stats.size);
      let read = 0;
      while (read < bytes.length) {
        const { bytesRead } = await file.read(bytes, read, bytes.length - read, read);
        if (bytesRead === 0) break;
        read += bytesRead;
      }
      return bytes.subarray(0, read);
    } finally {
      await file.close();
    }
  } catch (error) {
    if (error instanceof RouteFault) throw error;
    throw new RouteFault(errno(error) === 'ENOENT' ? 'gone' : 'failed', `cannot read ${path}: ${messageOf(error)}`);
  }
}

/** To a folder beside it, under a name that is free there. */
async function moveTo(folder: string, name: string, where: 'done' | 'failed'): Promise<void> {
  const target = join(folder, where);
  await mkdir(target, { recursive: true, mode: 0o770 });
  const isPlain = (await lstat(target)).isDirectory();
  if (!isPlain) throw new RouteFault('failed', `${target} is no folder`);
  for (let count = 0; count < maxSuffix; count++) {
    const free = join(target, count === 0 ? name : `${name}.${String(count)}`);
    if (await isThere(free)) continue;
    await rename(join(folder, name), free);
    return;
  }
  throw new RouteFault('failed', `${target} holds too many files named ${name}`);
}
