/**
 * Collected pieces that wait until the control plane has stored them: a file each, which is a batch. A piece becomes one
 * by its name alone, in one step, so that a kill at any instant neither doubles nor loses it. The oldest go first for
 * want of room; the batch after them says that they will not come.
 */
import { mkdir, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { toInstant } from '#shared/kernel/clock.js';
import { diskError, errno, syncFolder } from '#shared/platform/atomic-file.js';
import { collectedEventSchema } from '#shared/protocol/collect.js';
import { maxDataBatchBytes } from '#shared/protocol/stream.js';
import { type Piece, wholeLines } from '#shared/scoring/collect/piece-folder.js';
import { type PieceName, readPieceFile } from '#shared/scoring/collect/piece-name.js';
import type { BatchName } from '#agent/telemetry/spool.js';
import type { BatchHolder } from '#agent/telemetry/stream-sender.js';

interface Waiting extends BatchName {
  readonly file: string;
  readonly piece: PieceName;
  readonly bytes: number;
}

const pattern = /^(\d{16})-(\d{16})\.(.+)$/;

export class DataSpool implements BatchHolder {
  private sequence = 0;
  private queue: Promise<unknown> = Promise.resolve();
  private readonly acknowledged = new Map<number, number>();

  private constructor(
    private readonly options: { readonly folder: string; readonly bootId: number; readonly maxBytes: number },
    private waiting: Waiting[],
  ) {}

  /** @throws AppError `disk.*` */
  static async open(options: DataSpool['options']): Promise<DataSpool> {
    try {
      await mkdir(options.folder, { recursive: true, mode: 0o700 });
      const waiting: Waiting[] = [];
      for (const file of (await readdir(options.folder)).sort()) {
        const [, boot, sequence, name = ''] = pattern.exec(file) ?? [];
        const piece = readPieceFile(name);
        if (piece === undefined) continue;
        const { size } = await stat(join(options.folder, file));
        waiting.push({ bootId: Number(boot), sequence: Number(sequence), file, piece, bytes: size });
      }
      return new DataSpool(options, waiting);
    } catch (error) {
      throw diskError(error, `cannot read ${options.folder}`);
    }
  }

  get size(): { readonly batches: number; readonly bytes: number } {
    return { batches: this.waiting.length, bytes: this.waiting.reduce((sum, { bytes }) => sum + bytes, 0) };
  }

  /** @param from its folder. @returns how many went to make room for it */
  add(piece: Piece, from: string): Promise<number> {
    return this.inTurn(async () => {
      let gone = 0;
      while (this.waiting.length > 0 && this.size.bytes + piece.bytes > this.options.maxBytes) {
        const [oldest] = this.waiting;
        if (oldest !== undefined) await this.remove(oldest);
        gone += 1;
      }
      const name = { bootId: this.options.bootId, sequence: this.sequence + 1 };
      const file = `${pad(name.bootId)}-${pad(name.sequence)}.${piece.file}`;
      await this.moveIn(join(from, piece.file), join(this.options.folder, file));
      this.sequence = name.sequence;
      this.waiting.push({ ...name, file, piece, bytes: piece.bytes });
      return gone;
    });
  }

  pending(after: BatchName | undefined, limit: number): BatchName[] {
    const following = after === undefined ? this.waiting : this.waiting.filter((one) => isAfter(one, after));
    return following.slice(0, limit).map(({ bootId, sequence }) => ({ bootId, sequence }));
  }

  /** @returns the message; undefined: it is gone, or nothing of it can be sent */
  read(name: BatchName): Promise<Readonly<Record<string, unknown>> | undefined> {
    return this.inTurn(async () => {
      const at = this.waiting.findIndex((one) => one.bootId === name.bootId && one.sequence === name.sequence);
      const found = this.waiting[at];
      if (found === undefined) return undefined;
      const events = eventsOf(await this.bytesOf(found));
      if (events.length === 0) {
        await this.remove(found);
        return undefined;
      }
      const before = this.waiting.slice(0, at).findLast(({ bootId }) => bootId === name.bootId)?.sequence ?? 0;
      const last = Math.max(before, this.acknowledged.get(name.bootId) ?? 0);
      const { beginMs, module, collection } = found.piece;
      return {
        ...{ schema: 1, bootId: name.bootId, sequence: name.sequence, at: toInstant(beginMs), module, collection },
        ...(last + 1 < name.sequence ? { droppedFrom: last + 1 } : {}),
        events,
      };
    });
  }

  acknowledge(bootId: number, upTo: number): Promise<void> {
    return this.inTurn(async () => {
      this.acknowledged.set(bootId, upTo);
      for (const one of this.waiting.filter((each) => each.bootId === bootId && each.sequence <= upTo)) {
        await this.remove(one);
      }
    });
  }

  /** What waits of modules that are to collect nothing any more. */
  dropOthers(isCollected: (module: string) => boolean): Promise<void> {
    return this.inTurn(async () => {
      for (const one of this.waiting.filter(({ piece }) => !isCollected(piece.module))) await this.remove(one);
    });
  }

  /** Durable before it can be sent: one that is sent and then is not there under its name would be sent twice. */
  private async moveIn(from: string, to: string): Promise<void> {
    try {
      const file = await open(from, 'r');
      await file.sync().finally(() => file.close());
      await rename(from, to);
      await syncFolder(this.options.folder);
    } catch (error) {
      throw diskError(error, `cannot keep ${from}`);
    }
  }

  private async bytesOf({ file }: Waiting): Promise<Buffer> {
    try {
      return await readFile(join(this.options.folder, file));
    } catch (error) {
      // A full disk was given the room.
      if (errno(error) === 'ENOENT') return Buffer.alloc(0);
      throw diskError(error, `cannot read ${file}`);
    }
  }

  private async remove(one: Waiting): Promise<void> {
    await rm(join(this.options.folder, one.file), { force: true });
    this.waiting = this.waiting.filter((other) => other !== one);
  }

  private inTurn<T>(task: () => Promise<T>): Promise<T> {
    const turn = this.queue.then(task);
    this.queue = turn.catch(() => undefined);
    return turn;
  }
}

/** What is whole, and has room in one message: a power cut may have left anything. */
function eventsOf(bytes: Buffer): unknown[] {
  let left = maxDataBatchBytes;
  return wholeLines(bytes).flatMap((line) => {
    const event = collectedEventSchema.safeParse(JSON.parse(line));
    left -= Buffer.byteLength(line) + 1;
    return event.success && left >= 0 ? [event.data] : [];
  });
}

function isAfter(a: BatchName, b: BatchName): boolean {
  return a.bootId > b.bootId || (a.bootId === b.bootId && a.sequence > b.sequence);
}

function pad(value: number): string {
  return String(value).padStart(16, '0');
}
