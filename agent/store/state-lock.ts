/**
 * One daemon a state folder. A lock is a numbered file that appears by `link`, so exactly one taker
 * makes each number; who made the highest holds the lock. Numbers only rise: whoever looked a while ago
 * finds the number taken, or a higher one beside its own, and looks again. A file names its holder by
 * process id and start time, so that one that died, or whose id another process has by now, does not
 * lock the device out for ever.
 */
import { randomUUID } from 'node:crypto';
import { link, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import * as z from 'zod';
import { AppError } from '#shared/kernel/errors.js';
import { diskError, errno, writeFileAtomic } from '#shared/platform/atomic-file.js';

const holderSchema = z.object({ pid: z.int(), started: z.string(), token: z.string() });
type Holder = z.infer<typeof holderSchema>;

const released = 'released';

export interface StateLock {
  /** The one before ended without giving the lock back: what it started may still be ending. */
  readonly tookOver: boolean;
  release(): Promise<void>;
}

/** @param path its folder and first name; a number is added */
export async function takeStateLock(path: string): Promise<StateLock> {
  const mine: Holder = { pid: process.pid, started: (await startTime(process.pid)) ?? '', token: randomUUID() };
  const own = `${path}-${mine.token}`;
  try {
    await writeFile(own, JSON.stringify(mine), { mode: 0o600 });
    for (;;) {
      const before = await highest(path);
      const text = before === 0 ? released : ((await readOrUndefined(`${path}.${String(before)}`)) ?? '');
      await refuseLiving(text, dirname(path));
      const number = before + 1;
      if (!(await tryLink(own, `${path}.${String(number)}`))) continue;
      if ((await highest(path)) === number) {
        await clearBelow(path, number);
        return { tookOver: text !== released, release: () => release(`${path}.${String(number)}`) };
      }
      // Our look at the folder was old: others have come and gone since.
      await rm(`${path}.${String(number)}`, { force: true });
    }
  } catch (error) {
    throw error instanceof AppError ? error : diskError(error, `cannot lock ${path}`);
  } finally {
    await rm(own, { force: true });
  }
}

async function highest(path: string): Promise<number> {
  return Math.max(0, ...(await numbersOf(path)));
}

async function numbersOf(path: string): Promise<number[]> {
  const start = `${basename(path)}.`;
  const names = await readdir(dirname(path));
  return names.filter((name) => name.startsWith(start)).map((name) => Number(name.slice(start.length)) || 0);
}

async function clearBelow(path: string, number: number): Promise<void> {
  for (const old of await numbersOf(path)) if (old < number) await rm(`${path}.${String(old)}`, { force: true });
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

async function refuseLiving(text: string, folder: string): Promise<void> {
  const holder = parseHolder(text);
  if (holder === undefined || !(await isAlive(holder))) return;
  throw new AppError(
    'already.running',
    `an agent (process ${String(holder.pid)}) runs on the state folder ${folder} already: stop it, or choose another folder with --state-dir`,
    { details: { pid: holder.pid } },
  );
}

/** The file stays: a number that was given is never given again. */
async function release(path: string): Promise<void> {
  // In another file's place, since ours may have a second name for a moment longer.
  try {
    await writeFileAtomic(path, released);
  } catch (error) {
    // On a full disk the file goes on naming a process that ends now: the next start sees that it is gone.
    if (!(error instanceof AppError && error.code === 'disk.full')) throw error;
  }
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
