/**
 * One line of JSON for each answer, in a file that grows to its bound and then makes way: `answers.jsonl` becomes
 * `answers.jsonl.1`, that one `.2`, the last one goes. A line is written whole or, where the power went, cut off
 * at the end of the file, where the next start closes it.
 *
 * Invariant: nothing outside the root is written, whatever links lie about.
 */
import { constants } from 'node:fs';
import { type FileHandle, mkdir, open, realpath, rename, rm } from 'node:fs/promises';
import { basename, dirname, join, relative, sep } from 'node:path';
import { type Clock, toInstant } from '#shared/kernel/clock.js';
import { AppError, messageOf } from '#shared/kernel/errors.js';
import { diskError, errno } from '#shared/platform/atomic-file.js';
import type { Payload } from '../payload.js';
import { answerValue } from './answer-value.js';
import { type Sent, sent, type Target } from './target.js';

export interface FilePlan {
  readonly file: string;
  readonly maxBytes: number;
  /** Full files beside it. */
  readonly keep: number;
}

export interface FilePorts {
  readonly clock: Clock;
  /** The folder below which it lies. */
  readonly root: string;
  readonly output: string;
}

const newline = 0x0a;
const mode = 0o640;

export class FileTarget implements Target {
  private handle: FileHandle | undefined;
  private path = '';
  private size = 0;

  constructor(
    private readonly plan: FilePlan,
    private readonly ports: FilePorts,
  ) {}

  async send(payload: Payload): Promise<Sent> {
    const { clock, output } = this.ports;
    const { source } = payload;
    const head = { at: toInstant(clock.now()), ...(source === undefined ? {} : { source }), output };
    const line = Buffer.from(`${JSON.stringify({ ...head, ...answerValue(payload) })}\n`);
    if (line.length > this.plan.maxBytes) {
      const message = `an answer of ${String(line.length)} bytes is larger than the file may be`;
      return { kind: 'lost', reason: 'too-large', message };
    }
    try {
      await this.append(line);
      return sent;
    } catch (error) {
      await this.close();
      return { kind: 'later', message: messageOf(error) };
    }
  }

  async close(): Promise<void> {
    const { handle } = this;
    this.handle = undefined;
    await handle?.close().catch(() => undefined);
  }

  private async append(line: Buffer): Promise<void> {
    try {
      let handle = this.handle ?? (await this.open());
      if (this.size > 0 && this.size + line.length > this.plan.maxBytes) handle = await this.rotate();
      const { bytesWritten } = await handle.write(line);
      this.size += bytesWritten;
      if (bytesWritten < line.length) throw new AppError('disk.full', `no room for a whole line in ${this.path}`);
    } catch (error) {
      throw error instanceof AppError ? error : diskError(error, `cannot write ${this.plan.file}`);
    }
  }

  private async open(): Promise<FileHandle> {
    this.path = join(await this.folder(), basename(this.plan.file));
    const { O_RDWR, O_APPEND, O_CREAT, O_NOFOLLOW, O_NONBLOCK } = constants;
    const handle = await open(this.path, O_RDWR | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK, mode);
    this.handle = handle;
    const stats = await handle.stat();
    if (!stats.isFile()) throw new AppError('disk.failed', `${this.path} is no file`);
    this.size = stats.size;
    // A line that a power cut, or a full disk, left half written.
    if (stats.size > 0) {
      const last = Buffer.alloc(1);
      await handle.read(last, 0, 1, stats.size - 1);
      if (last[0] !== newline) {
        await handle.write(Buffer.from([newline]));
        this.size += 1;
      }
    }
    return handle;
  }

  private async folder(): Promise<string> {
    const { root } = this.ports;
    const wanted = join(root, dirname(this.plan.file));
    await mkdir(wanted, { recursive: true, mode: 0o750 });
    const [realRoot, real] = [await realpath(root), await realpath(wanted)];
    const inside = relative(realRoot, real);
    if (inside === '..' || inside.startsWith(`..${sep}`)) {
      throw new AppError('disk.failed', `${wanted} leads out of ${root}: no link may`);
    }
    return real;
  }

  private async rotate(): Promise<FileHandle> {
    const { path, plan } = this;
    await this.handle?.sync();
    await this.close();
    await rm(numbered(path, plan.keep), { force: true });
    for (let number = plan.keep - 1; number >= 0; number--) {
      await rename(numbered(path, number), numbered(path, number + 1)).catch((error: unknown) => {
        if (errno(error) !== 'ENOENT') throw error;
      });
    }
    return this.open();
  }
}

function numbered(path: string, number: number): string {
  return number === 0 ? path : `${path}.${String(number)}`;
}
