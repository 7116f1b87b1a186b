/**
 * Writes collected lines as pieces into one folder: each of one module, one collection and one hour. A piece that is
 * full, or has been open for a while, gets its final name, and is its owner's from then on. Nothing waits for it, and
 * no request fails by it: what cannot be written is dropped and counted.
 */
import { appendFile, rename } from 'node:fs/promises';
import { setTimeout } from 'node:timers';
import { join } from 'node:path';
import type { Clock } from '#shared/kernel/clock.js';
import type { Collection } from '#shared/protocol/collect.js';
import { openEnding, pieceFileOf, type PieceName } from './piece-name.js';

export interface PieceLine {
  readonly module: string;
  readonly collection: Collection;
  /** Wall time. */
  readonly atMs: number;
  /** With its end. */
  readonly line: string;
  readonly maxPieceBytes: number;
  readonly maxOpenMs: number;
}

interface OpenPiece {
  readonly maxOpenMs: number;
  readonly name: PieceName;
  readonly path: string;
  /** By the monotonic clock. */
  readonly sinceMs: number;
  bytes: number;
}

const flushAfterMs = 250;
const maxBufferedBytes = 8 * 1024 * 1024;
const hourMs = 3_600_000;

export class PieceWriter {
  private waiting: PieceLine[] = [];
  private waitingBytes = 0;
  private readonly open = new Map<string, OpenPiece>();
  private writing: Promise<void> = Promise.resolve();
  private timer: NodeJS.Timeout | undefined;
  private last = 0;
  private droppedLines = 0;

  constructor(
    private readonly options: {
      readonly folder: string;
      readonly instance: string;
      readonly clock: Pick<Clock, 'monotonic'>;
    },
  ) {}

  get dropped(): number {
    return this.droppedLines;
  }

  drop(): void {
    this.droppedLines += 1;
  }

  add(line: PieceLine): void {
    const bytes = Buffer.byteLength(line.line);
    if (this.waitingBytes + bytes > maxBufferedBytes) {
      this.drop();
      return;
    }
    this.waitingBytes += bytes;
    this.waiting.push(line);
    this.flushSoon();
  }

  /** All that was added is on its way to the owner. Never rejects. */
  close(): Promise<void> {
    clearTimeout(this.timer);
    return this.flush(true);
  }

  private flushSoon(): void {
    this.timer ??= setTimeout(() => {
      this.timer = undefined;
      void this.flush(false).then(() => {
        if (this.open.size > 0) this.flushSoon();
      });
    }, flushAfterMs).unref();
  }

  private flush(all: boolean): Promise<void> {
    this.writing = this.writing.then(async () => {
      const lines = this.waiting;
      this.waiting = [];
      this.waitingBytes = 0;
      for (const line of lines) await this.write(line);
      const now = this.options.clock.monotonic();
      for (const [key, piece] of this.open)
        if (all || now - piece.sinceMs >= piece.maxOpenMs) await this.finish(key, piece);
    });
    return this.writing;
  }

  private async write({ module, collection, atMs, line, maxPieceBytes, maxOpenMs }: PieceLine): Promise<void> {
    const key = `${module}/${collection}`;
    const bytes = Buffer.byteLength(line);
    let piece = this.open.get(key);
    const fits = piece !== undefined && piece.bytes + bytes <= maxPieceBytes && sameHour(piece.name.beginMs, atMs);
    if (piece !== undefined && !fits) await this.finish(key, piece);
    if (piece === undefined || !fits) {
      piece = this.begin({ module, collection, beginMs: atMs }, maxOpenMs);
      this.open.set(key, piece);
    }
    try {
      await appendFile(piece.path, line, { mode: 0o600 });
      piece.bytes += bytes;
    } catch {
      this.drop();
      // What was written of it ends torn, and the next line must not go on there.
      await this.finish(key, piece);
    }
  }

  private begin(of: Pick<PieceName, 'module' | 'collection' | 'beginMs'>, maxOpenMs: number): OpenPiece {
    const { folder, instance, clock } = this.options;
    this.last += 1;
    const name = { ...of, instance, number: this.last };
    return {
      maxOpenMs,
      name,
      path: join(folder, pieceFileOf(name) + openEnding),
      sinceMs: clock.monotonic(),
      bytes: 0,
    };
  }

  private async finish(key: string, { name, path }: OpenPiece): Promise<void> {
    this.open.delete(key);
    // One of which not even the first line could be written is not there.
    await rename(path, join(this.options.folder, pieceFileOf(name))).catch(() => undefined);
  }
}

function sameHour(aMs: number, bMs: number): boolean {
  return Math.floor(aMs / hourMs) === Math.floor(bMs / hourMs);
}
