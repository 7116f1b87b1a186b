/**
 * Batches of one kind that wait on disk until the control plane has stored them. Invariants: a batch's
 * sequence is given when it is spooled and never again; it goes only when it is acknowledged, or, oldest
 * first, for want of room or for its age, and then a batch of its last number stands in its place and
 * says which are gone and why, until that is acknowledged in turn.
 */
import { readFile, rm } from 'node:fs/promises';
import { AppError } from '#shared/kernel/errors.js';
import { AppendFile } from '#shared/platform/append-file.js';
import { writeFileAtomic } from '#shared/platform/atomic-file.js';
import type { DropReason, StreamKind } from '#shared/protocol/stream.js';
import {
  type BatchName,
  readPart,
  readSpoolFolder,
  type SpooledBatch,
  type SpoolFile,
  spoolFilePath,
} from '#agent/telemetry/spool-folder.js';
import { SpoolIndex } from '#agent/telemetry/spool-index.js';
import { decodeMessageLine, encodeAckLine, encodeBatchLine } from '#agent/telemetry/spool-lines.js';

export type { BatchName } from '#agent/telemetry/spool-folder.js';

export interface Dropped extends BatchName {
  /** Sequences `from` to `sequence` of the boot. */
  readonly from: number;
  readonly reason: DropReason;
}

export interface SpoolOptions {
  readonly kind: StreamKind;
  readonly folder: string;
  readonly bootId: number;
  /** On disk, by blocks of 4 KiB. */
  readonly maxBytes: number;
  /** What waited longer goes; forever when absent. */
  readonly maxAgeSeconds?: number;
  /** The device's age clock: see agent/store/lived-time.ts. */
  readonly lived: () => number;
  /** A batch that says nothing but that others are gone. */
  readonly emptyBatch: () => Readonly<Record<string, unknown>>;
  readonly onDropped: (dropped: Dropped) => void;
  /** Frees something of less worth when the disk is full. @returns whether it did */
  readonly makeRoom?: () => Promise<boolean>;
}

/** So many parts of the spool, or of the time that batches are kept, go at once. */
const parts = 16;
const maxFileBytes = 256 * 1024;
const minFileBytes = 4096;
/** Attempts to make room on a full disk for one batch. */
const roomAttempts = 4;
const nothing = new Uint8Array(1);

export class Spool {
  private sequence = 0;
  private queue: Promise<unknown> = Promise.resolve();
  private current: { readonly file: SpoolFile; readonly append: AppendFile } | undefined;
  private readonly acknowledged = new Map<number, number>();
  private lastRead: { readonly path: string; readonly bytes: Uint8Array } | undefined;

  private constructor(
    private readonly options: SpoolOptions,
    private readonly index: SpoolIndex,
  ) {}

  static async open(options: SpoolOptions): Promise<Spool> {
    const now = options.lived();
    const files = await readSpoolFolder(options.folder);
    // An age clock that was lost began anew: what is from its future is as old as this start.
    for (const file of files) {
      file.batches = file.batches.map((batch) => ({ ...batch, livedSeconds: Math.min(batch.livedSeconds, now) }));
    }
    return new Spool(options, new SpoolIndex(files));
  }

  get kind(): StreamKind {
    return this.options.kind;
  }

  get size(): { readonly batches: number; readonly bytes: number } {
    return { batches: this.index.batches, bytes: this.index.bytes };
  }

  /** Gives the batch its sequence and has it on disk when it resolves. */
  add(body: Readonly<Record<string, unknown>>): Promise<BatchName> {
    return this.inTurn(async () => {
      const name: BatchName = { bootId: this.options.bootId, sequence: this.sequence + 1 };
      const lived = this.options.lived();
      const line = encodeBatchLine('batch', name.sequence, lived, { schema: 1, ...name, ...body });
      await this.dropOld();
      while (this.index.bytes + line.length > this.options.maxBytes && (await this.dropFirst('room'))) {
        // Until it fits, or nothing is left.
      }
      for (let attempt = 1; ; attempt++) {
        try {
          await this.write(name, lived, line);
          break;
        } catch (error) {
          if (!isDiskFull(error) || attempt >= roomAttempts || (await this.options.makeRoom?.()) !== true) throw error;
        }
      }
      this.sequence = name.sequence;
      return name;
    });
  }

  /** The batches after `after`, oldest first; all when it is undefined. */
  pending(after: BatchName | undefined, limit: number): BatchName[] {
    return this.index.after(after, limit);
  }

  /** @returns the message; undefined when it is no longer here, or damaged and hence dropped */
  read(name: BatchName): Promise<Readonly<Record<string, unknown>> | undefined> {
    return this.inTurn(async () => {
      await this.dropOld();
      const found = this.index.find(name);
      if (found === undefined) return undefined;
      const { file, batch } = found;
      const line = await this.readLine(file, batch).catch(() => nothing);
      const message = decodeMessageLine(line);
      if (message === undefined) {
        await this.dropDamaged(file, batch);
        return undefined;
      }
      const last = Math.max(this.index.before(name), this.acknowledged.get(name.bootId) ?? 0);
      const droppedFrom = Math.min(batch.from, last + 1);
      return droppedFrom < batch.sequence ? { ...message, droppedFrom } : message;
    });
  }

  /**
   * The control plane has stored everything of this boot up to there. When that is less than it said
   * before, as after a restored backup, what lies between went with the acknowledgement: the next batch
   * says that it is gone, so that the rest is taken.
   */
  acknowledge(bootId: number, upTo: number): Promise<void> {
    return this.inTurn(async () => {
      this.acknowledged.set(bootId, upTo);
      const files = this.index.files.filter(
        (file) => file.bootId === bootId && (file.batches[0]?.sequence ?? 0) <= upTo,
      );
      const stored = files.reduce((sum, file) => sum + this.index.strike(file, ({ sequence }) => sequence <= upTo), 0);
      if (stored === 0) return;
      for (const file of files.filter(({ batches }) => batches.length === 0)) {
        if (file !== this.current?.file || file.bytes >= this.fileBytes) await this.remove(file);
      }
      await this.noteAcknowledged(bootId, upTo);
    });
  }

  /** The oldest go, as many as one file holds. @returns false when there is nothing that could go */
  dropOldest(reason: DropReason): Promise<boolean> {
    return this.inTurn(() => this.dropFirst(reason));
  }

  /** What is being written is on disk; a later batch begins another file. */
  close(): Promise<void> {
    return this.inTurn(() => this.finishCurrent());
  }

  /** A finished file is read once for all of its batches, which are sent one after another. */
  private async readLine(file: SpoolFile, { offset, length }: SpooledBatch): Promise<Uint8Array> {
    if (file === this.current?.file) return readPart(file.path, offset, length);
    if (this.lastRead?.path !== file.path) this.lastRead = { path: file.path, bytes: await readFile(file.path) };
    return this.lastRead.bytes.subarray(offset, offset + length);
  }

  private get fileBytes(): number {
    return Math.max(minFileBytes, Math.min(maxFileBytes, Math.floor(this.options.maxBytes / parts)));
  }

  private async write(name: BatchName, livedSeconds: number, line: Buffer): Promise<void> {
    const { file, append } = await this.fileFor(name, livedSeconds, line.length);
    try {
      const offset = await append.append(line);
      this.index.append(file, {
        ...name,
        kind: 'batch',
        from: name.sequence,
        livedSeconds,
        offset,
        length: line.length,
      });
      this.index.resize(file, append.size);
    } catch (error) {
      await this.finishCurrent();
      this.index.resize(file, append.size);
      throw error;
    }
  }

  /** A file holds no more than a part of the room and of the time, so that dropping one drops little. */
  private async fileFor(name: BatchName, lived: number, bytes: number) {
    const { current } = this;
    const maxAge = this.options.maxAgeSeconds ?? Infinity;
    const begun = current?.file.batches[0]?.livedSeconds ?? lived;
    const fits =
      current !== undefined && current.append.size + bytes <= this.fileBytes && lived - begun < maxAge / parts;
    if (fits && !current.append.isBroken) return current;
    await this.finishCurrent();
    const append = await AppendFile.create(spoolFilePath(this.options.folder, name, 'batches'));
    const file: SpoolFile = { bootId: name.bootId, path: append.path, bytes: 0, batches: [] };
    this.index.insert(file);
    this.current = { file, append };
    return this.current;
  }

  /** The next batch begins another file. */
  private async finishCurrent(): Promise<void> {
    const { current } = this;
    this.current = undefined;
    await current?.append.close();
    if (current?.file.batches.length === 0) await this.remove(current.file);
  }

  /** Told to the next start, so that it sends nothing twice. Lost in a power cut, it costs only that. */
  private async noteAcknowledged(bootId: number, upTo: number): Promise<void> {
    const { current } = this;
    if (current === undefined || current.append.isBroken) return;
    await current.append.write(encodeAckLine(bootId, upTo)).catch(() => undefined);
    this.index.resize(current.file, current.append.size);
  }

  private async dropOld(): Promise<void> {
    const { maxAgeSeconds = Infinity, lived } = this.options;
    const isOld = ({ livedSeconds }: SpooledBatch): boolean => lived() - livedSeconds > maxAgeSeconds;
    while (this.index.files.find(holdsBatches)?.batches.every(isOld) && (await this.dropFirst('age'))) {
      // The next one may be as old.
    }
  }

  /** Drops the oldest file that holds more than the word of what went before. */
  private async dropFirst(reason: DropReason): Promise<boolean> {
    const file = this.index.files.find(holdsBatches);
    const [first, last] = [file?.batches[0], file?.batches.at(-1)];
    if (file === undefined || first === undefined || last === undefined) return false;
    if (file === this.current?.file) await this.finishCurrent();
    // One word for all that went for the same reason, so that words do not fill the room.
    const said = this.index.files.find(
      ({ bootId, batches: [batch] }) =>
        bootId === last.bootId &&
        batch?.kind === 'dropped' &&
        batch.reason === reason &&
        batch.sequence + 1 === first.from,
    );
    const from = said?.batches[0]?.from ?? first.from;
    await this.replace(said === undefined ? [file] : [said, file], { ...last, from, reason });
    this.options.onDropped({ ...last, from: first.from, reason });
    return true;
  }

  /** What says that they are gone is on disk before they go, but on a full disk, where it needs their room. */
  private async replace(gone: readonly SpoolFile[], { bootId, sequence, from, reason }: Dropped): Promise<void> {
    const livedSeconds = this.options.lived();
    const said = { schema: 1, bootId, sequence, droppedFrom: from, dropReason: reason, ...this.options.emptyBatch() };
    const line = encodeBatchLine('dropped', sequence, livedSeconds, said);
    const path = spoolFilePath(this.options.folder, { bootId, sequence }, 'dropped');
    try {
      await writeFileAtomic(path, line);
    } catch (error) {
      if (!isDiskFull(error)) throw error;
      for (const file of gone) await rm(file.path, { force: true });
      await writeFileAtomic(path, line);
    }
    for (const file of gone) await this.remove(file);
    const batch = {
      bootId,
      sequence,
      kind: 'dropped',
      reason,
      from,
      livedSeconds,
      offset: 0,
      length: line.length,
    } as const;
    this.index.insert({ bootId, path, bytes: line.length, batches: [batch] });
  }

  /** The batch after it says what is missing; where none will come any more, one in its place does. */
  private async dropDamaged(file: SpoolFile, batch: SpooledBatch): Promise<void> {
    const isLast = this.index.isLastOfBoot(batch) && batch.bootId !== this.options.bootId;
    this.index.strike(file, (other) => other === batch);
    if (file.batches.length === 0 && file !== this.current?.file) await this.remove(file);
    if (isLast) await this.replace([], { ...batch, reason: 'damage' });
    this.options.onDropped({ ...batch, reason: 'damage' });
  }

  private async remove(file: SpoolFile): Promise<void> {
    if (this.current?.file === file) {
      const { append } = this.current;
      this.current = undefined;
      await append.close();
    }
    await rm(file.path, { force: true });
    this.index.forget(file);
  }

  private inTurn<T>(task: () => Promise<T>): Promise<T> {
    const turn = this.queue.then(task);
    this.queue = turn.catch(() => undefined);
    return turn;
  }
}

function holdsBatches({ batches }: SpoolFile): boolean {
  return batches.some(({ kind }) => kind === 'batch');
}

function isDiskFull(error: unknown): boolean {
  return error instanceof AppError && error.code === 'disk.full';
}
