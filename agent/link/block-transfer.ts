/** One source's chunks on their way: which are needed, which are to be asked for, and what they must be. */
import { AppError } from '#shared/kernel/errors.js';
import { sha256Hex } from '#shared/package/digest.js';
import type { BlockSource } from '#shared/protocol/blocks.js';

export interface WantedChunk {
  readonly index: number;
  /** Where it stands in its blob. */
  readonly offset: number;
  readonly length: number;
  /** Absent for chunks of a blob that is checked as a whole. */
  readonly sha256?: string;
}

/** A chunk that comes damaged this often is damaged at its source. */
const maxDamaged = 3;

export class Transfer {
  readonly done: Promise<void>;
  private readonly needed: Map<number, WantedChunk>;
  private readonly queue: number[];
  private readonly queued: Set<number>;
  private readonly damaged = new Map<number, number>();
  private failed = false;
  private bytesQueued: number;

  constructor(
    readonly source: BlockSource,
    chunks: readonly WantedChunk[],
    private readonly write: (chunk: WantedChunk, bytes: Uint8Array) => Promise<void>,
  ) {
    this.needed = new Map(chunks.map((chunk) => [chunk.index, chunk]));
    this.lengths = new Map(chunks.map((chunk) => [chunk.index, chunk.length]));
    this.queue = chunks.map((chunk) => chunk.index);
    this.queued = new Set(this.queue);
    this.bytesQueued = chunks.reduce((sum, chunk) => sum + chunk.length, 0);
    const { promise, resolve, reject } = deferred();
    this.done = promise;
    this.succeed = resolve;
    this.refuse = reject;
  }

  private readonly lengths: ReadonlyMap<number, number>;
  private readonly succeed: () => void;
  private readonly refuse: (error: unknown) => void;

  get queuedBytes(): number {
    return this.bytesQueued;
  }

  lengthOf(index: number): number {
    return this.lengths.get(index) ?? 0;
  }

  /** Takes chunks from the queue: about `aimBytes`, but one at least, and never more than `maxBytes`. */
  next(maxBytes: number, aimBytes: number, maxCount: number): number[] {
    const indexes: number[] = [];
    let bytes = 0;
    for (;;) {
      const index = this.queue[0];
      if (this.failed || index === undefined || indexes.length >= maxCount) return indexes;
      // What came late, from before it was asked for again, is in the queue no more.
      if (this.queued.has(index)) {
        const length = this.lengthOf(index);
        if (bytes + length > maxBytes || (bytes > 0 && bytes + length > aimBytes)) return indexes;
        bytes += length;
        indexes.push(index);
        this.unqueue(index);
      }
      this.queue.shift();
    }
  }

  putBack(indexes: readonly number[]): void {
    for (const index of indexes) {
      if (!this.needed.has(index) || this.queued.has(index)) continue;
      this.queue.push(index);
      this.queued.add(index);
      this.bytesQueued += this.lengthOf(index);
    }
  }

  /** @throws AppError when the chunk is damaged time and again */
  async accept(index: number, offset: number, bytes: Uint8Array): Promise<void> {
    const chunk = this.needed.get(index);
    if (chunk === undefined || this.failed) return;
    const right = bytes.length === chunk.length && offset === chunk.offset;
    if (!right || (chunk.sha256 !== undefined && sha256Hex(bytes) !== chunk.sha256)) {
      const times = (this.damaged.get(index) ?? 0) + 1;
      this.damaged.set(index, times);
      if (times >= maxDamaged) {
        throw new AppError('blob.digest-mismatch', `chunk ${String(index)} came damaged ${String(times)} times`);
      }
      this.putBack([index]);
      return;
    }
    this.needed.delete(index);
    if (this.queued.has(index)) this.unqueue(index);
    this.writing += 1;
    await this.write(chunk, bytes);
    this.writing -= 1;
    if (this.needed.size === 0 && this.writing === 0 && !this.failed) this.succeed();
  }

  private writing = 0;

  fail(error: unknown): void {
    this.failed = true;
    this.refuse(error);
  }

  private unqueue(index: number): void {
    this.queued.delete(index);
    this.bytesQueued -= this.lengthOf(index);
  }
}

function deferred(): { promise: Promise<void>; resolve: () => void; reject: (error: unknown) => void } {
  let resolve: () => void = noop;
  let reject: (error: unknown) => void = noop;
  const promise = new Promise<void>((settle, refuse) => {
    resolve = settle;
    reject = refuse;
  });
  return { promise, resolve, reject };
}

function noop(): void {
  // Replaced before anyone can call it.
}
