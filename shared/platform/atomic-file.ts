/**
 * Durable small files. A write is: temporary file, fsync, keep the previous one, rename, fsync of the
 * folder. A kill or power cut at any instant leaves the old content or the new, never a mixture.
 */
import { createHash } from 'node:crypto';
import { chmod, link, mkdir, open, readFile, rename, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { AppError, messageOf } from '#shared/kernel/errors.js';

export interface WriteOptions {
  /** Permission bits; 0o600 for anything that holds a secret. */
  readonly mode?: number;
}

/** One writer a path at a time: all use the same temporary name, so that a crash leaves at most one. */
export async function writeFileAtomic(
  path: string,
  data: string | Uint8Array,
  options: WriteOptions = {},
): Promise<void> {
  const temporary = `${path}.new`;
  try {
    await rm(temporary, { force: true });
    const file = await open(temporary, 'wx', options.mode ?? 0o644);
    try {
      await file.writeFile(data);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
    await syncFolder(dirname(path));
  } catch (error) {
    // On a full disk the half-written file would keep the room that others wait for.
    await Promise.allSettled([rm(temporary, { force: true })]);
    throw diskError(error, `cannot write ${path}`);
  }
}

export async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

/** Turns an error of the file system into one that says what to do. */
export function diskError(error: unknown, what: string): AppError {
  const code = errno(error);
  if (code === 'ENOSPC' || code === 'EDQUOT') {
    return new AppError('disk.full', `${what}: no space left; free some and it goes on by itself`, { cause: error });
  }
  const remedy = code === undefined ? '' : (remedies[code] ?? '');
  return new AppError('disk.failed', `${what}: ${messageOf(error)}${remedy}`, { cause: error });
}

const remedies: Readonly<Record<string, string>> = {
  EROFS: '; the file system is mounted read-only, as after an error of the disk: see dmesg, and mount it writable',
  EACCES: '; give the folder to the user that this runs as',
  EIO: '; the disk fails: see dmesg',
};

export function errno(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;
}

/**
 * A JSON document with a checksum in front and its predecessor kept beside it, so that a file that a
 * dying disk truncated or filled with nulls costs one step back, not the device.
 */
export class JsonDocument<T> {
  /** Ends when the last change asked for has; changes of one document happen one after another. */
  private changes: Promise<unknown> = Promise.resolve();

  constructor(
    readonly path: string,
    /** Throws, or returns the checked value. */
    private readonly parse: (value: unknown) => T,
    private readonly options: WriteOptions = {},
  ) {}

  /**
   * @returns undefined when neither the file nor its predecessor exists
   * @throws AppError `state.corrupt` when what exists cannot be read
   */
  async read(): Promise<{ readonly value: T; readonly recovered: boolean } | undefined> {
    await this.closeToOthers();
    const current = await this.readOne(this.path);
    if (current.kind === 'ok') return { value: current.value, recovered: false };
    const previous = await this.readOne(this.previousPath);
    if (previous.kind === 'ok') return { value: previous.value, recovered: true };
    if (current.kind === 'absent' && previous.kind === 'absent') return undefined;
    const reason = current.kind === 'corrupt' ? current.reason : previous.kind === 'corrupt' ? previous.reason : '';
    throw new AppError('state.corrupt', `${this.path} and its predecessor cannot be read: ${reason}`);
  }

  /** A copy, or a careless hand, may have opened a secret to others. */
  private async closeToOthers(): Promise<void> {
    const { mode = 0o644 } = this.options;
    for (const path of [this.path, this.previousPath]) {
      const found = await stat(path).catch(() => undefined);
      const open = found === undefined ? 0 : found.mode & 0o777 & ~mode & 0o077;
      // One that is not ours to close is read as it is.
      if (found !== undefined && open !== 0) await chmod(path, found.mode & 0o777 & ~open).catch(() => undefined);
    }
  }

  /** Writes of one document take place in the order of the calls; the value is taken at the call. */
  async write(value: T): Promise<void> {
    const body = `${JSON.stringify(value)}\n`;
    await this.inTurn(async () => {
      try {
        await mkdir(dirname(this.path), { recursive: true });
        await this.keepPrevious();
      } catch (error) {
        throw diskError(error, `cannot write ${this.path}`);
      }
      await writeFileAtomic(this.path, `${checksum(body)}\n${body}`, this.options);
    });
  }

  /** The current file goes last: a cut on the way leaves the document, not its predecessor alone. */
  async remove(): Promise<void> {
    await this.inTurn(async () => {
      try {
        for (const path of [`${this.previousPath}.new`, this.previousPath, `${this.path}.new`, this.path]) {
          await rm(path, { force: true });
        }
        await syncFolder(dirname(this.path));
      } catch (error) {
        if (errno(error) !== 'ENOENT') throw diskError(error, `cannot remove ${this.path}`);
      }
    });
  }

  private async inTurn(change: () => Promise<void>): Promise<void> {
    const turn = this.changes.then(change);
    // The caller gets the failure; the next change does not.
    this.changes = turn.catch(() => undefined);
    await turn;
  }

  private get previousPath(): string {
    return `${this.path}.previous`;
  }

  /** Only a file that reads well becomes the previous one. */
  private async keepPrevious(): Promise<void> {
    if ((await this.readOne(this.path)).kind !== 'ok') return;
    const temporary = `${this.previousPath}.new`;
    await rm(temporary, { force: true });
    try {
      await link(this.path, temporary);
    } catch (error) {
      // File systems without hard links, as SD cards have.
      if (!['EPERM', 'ENOSYS', 'ENOTSUP', 'EOPNOTSUPP'].includes(errno(error) ?? '')) throw error;
      await writeFileAtomic(this.previousPath, await readFile(this.path), this.options);
      return;
    }
    await rename(temporary, this.previousPath);
  }

  private async readOne(
    path: string,
  ): Promise<{ kind: 'ok'; value: T } | { kind: 'absent' } | { kind: 'corrupt'; reason: string }> {
    let text: string;
    try {
      text = await readFile(path, 'utf8');
    } catch (error) {
      if (errno(error) === 'ENOENT') return { kind: 'absent' };
      return { kind: 'corrupt', reason: messageOf(error) };
    }
    const newline = text.indexOf('\n');
    const body = text.slice(newline + 1);
    if (newline < 0 || text.slice(0, newline) !== checksum(body))
      return { kind: 'corrupt', reason: 'checksum differs' };
    try {
      return { kind: 'ok', value: this.parse(JSON.parse(body)) };
    } catch (error) {
      return { kind: 'corrupt', reason: messageOf(error) };
    }
  }
}

function checksum(body: string): string {
  return createHash('sha256').update(body).digest('hex');
}
