/**
 * One daemon a state folder. The lock is a file that appears by `link`, so exactly one taker makes it;
 * it names its holder by process id and start time, so that a holder that died, or whose id another
 * process has by now, does not lock the device out for ever.
 */
import { randomUUID } from 'node:crypto';
import { link, readFile, rename, rm, writeFile } from 'node:fs/promises';
import * as z from 'zod';
import { AppError } from '#shared/kernel/errors.js';
import { diskError, errno } from '#shared/platform/atomic-file.js';

const holderSchema = z.object({ pid: z.int(), started: z.string(), token: z.string() });
type Holder = z.infer<typeof holderSchema>;

export interface StateLock {
  /** The one before ended without giving the lock back: what it started may still be ending. */
  readonly tookOver: boolean;
  release(): Promise<void>;
}

/** @throws AppError `already.running` */
export async function takeStateLock(path: string): Promise<StateLock> {
  const mine: Holder = { pid: process.pid, started: (await startTime(process.pid)) ?? '', token: randomUUID() };
  const text = JSON.stringify(mine);
  const own = `${path}.${mine.token}`;
  try {
    await writeFile(own, text, { mode: 0o600 });
    for (let attempt = 0; attempt < 10; attempt++) {
      if (await tryLink(own, path)) return { tookOver: attempt > 0, release: () => release(path, text) };
      await clearStale(path, own);
    }
  } catch (error) {
    throw error instanceof AppError ? error : diskError(error, `cannot lock ${path}`);
  } finally {
    await rm(own, { force: true });
  }
  throw new AppError('already.running', `${path} cannot be taken: several agents start at once; start one`);
}

async function tryLink(own: string, path: string): Promise<boolean> {
  try {
    await link(own, path);
    return true;
  } catch (error) {
    if (errno(error) === 'EEXIST') return false;
    throw error;
  }
}

async function clearStale(path: string, own: string): Promise<void> {
  const text = await readOrUndefined(path);
  if (text === undefined) return;
  const holder = parseHolder(text);
  if (holder !== undefined && (await isAlive(holder))) {
    throw new AppError(
      'already.running',
      `an agent (process ${String(holder.pid)}) runs on this state folder already: stop it, or choose another with --state-dir`,
      { details: { pid: holder.pid } },
    );
  }
  const aside = `${own}.stale`;
  try {
    await rename(path, aside);
  } catch (error) {
    if (errno(error) === 'ENOENT') return;
    throw error;
  }
  // Another taker was faster between our look and our rename: what we hold is its lock.
  if ((await readOrUndefined(aside)) !== text) await tryLink(aside, path);
  await rm(aside, { force: true });
}

async function release(path: string, text: string): Promise<void> {
  if ((await readOrUndefined(path)) === text) await rm(path, { force: true });
}

async function isAlive(holder: Holder): Promise<boolean> {
  try {
    process.kill(holder.pid, 0);
  } catch (error) {
    if (errno(error) !== 'EPERM') return false;
  }
  const started = await startTime(holder.pid);
  return started === undefined || holder.started === '' || started === holder.started;
}

/** In clock ticks since the machine's start, with the start itself; undefined where there is no /proc. */
async function startTime(pid: number): Promise<string | undefined> {
  const stat = await readOrUndefined(`/proc/${String(pid)}/stat`);
  const boot = await readOrUndefined('/proc/sys/kernel/random/boot_id');
  // The name in parentheses may hold spaces; field 22 counts from behind it.
  const ticks = stat?.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
  return ticks === undefined || boot === undefined ? undefined : `${boot.trim()}/${ticks}`;
}

function parseHolder(text: string): Holder | undefined {
  try {
    return holderSchema.parse(JSON.parse(text));
  } catch {
    return undefined;
  }
}

async function readOrUndefined(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (errno(error) === 'ENOENT' || errno(error) === 'ESRCH') return undefined;
    throw error;
  }
}
