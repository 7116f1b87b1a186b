/**
 * Batches of one kind that wait on disk until the control plane has stored them. One file a batch,
 * named by boot and sequence, so their order is the order of names. Invariants: a batch's sequence is
 * given when it is spooled and never again; a batch goes only when it is acknowledged, or, oldest
 * first, for want of room, and then `droppedFrom` of the next one of its boot says so.
 */
import { readdir, readFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod';
import { JsonDocument, writeFileAtomic } from '#shared/platform/atomic-file.js';
import { counterSchema } from '#shared/protocol/primitives.js';
import type { StreamKind } from '#shared/protocol/stream.js';

export interface BatchName {
  readonly bootId: number;
  readonly sequence: number;
}

interface Spooled extends BatchName {
  readonly bytes: number;
}

/** First dropped sequence by boot, for boots that still have batches to say it in. */
const dropsSchema = z.record(z.string(), counterSchema);
type Drops = z.infer<typeof dropsSchema>;

const namePattern = /^(\d{16})-(\d{16})\.json$/;

export interface SpoolOptions {
  readonly kind: StreamKind;
  readonly folder: string;
  readonly bootId: number;
  readonly maxBytes: number;
  readonly onDropped: (from: BatchName, count: number) => void;
}

export class Spool {
  private sequence = 0;
  private queue: Promise<unknown> = Promise.resolve();

  private constructor(
    private readonly options: SpoolOptions,
    private readonly batches: Spooled[],
    private readonly drops: Map<number, number>,
    private readonly dropsFile: JsonDocument<Drops>,
  ) {}

  static async open(options: SpoolOptions): Promise<Spool> {
    const batches: Spooled[] = [];
    for (const name of (await readdir(options.folder)).sort()) {
      const match = namePattern.exec(name);
      if (match === null) {
        // A write that was cut off. `drops.json` and its predecessor stay.
        if (name.endsWith('.json.new')) await rm(join(options.folder, name), { force: true });
        continue;
      }
      const { size } = await stat(join(options.folder, name));
      batches.push({ bootId: Number(match[1]), sequence: Number(match[2]), bytes: size });
    }
    const file = new JsonDocument(join(options.folder, 'drops.json'), (value) => dropsSchema.parse(value));
    const drops = new Map<number, number>();
    try {
      for (const [boot, from] of Object.entries((await file.read())?.value ?? {})) drops.set(Number(boot), from);
    } catch {
      // Lost: the gap before the oldest batch of an earlier boot is worked out from its sequence.
      for (const { bootId, sequence } of batches) if (!drops.has(bootId) && sequence > 1) drops.set(bootId, 1);
    }
    return new Spool(options, batches, drops, file);
  }

  get kind(): StreamKind {
    return this.options.kind;
  }

  get size(): { readonly batches: number; readonly bytes: number } {
    return { batches: this.batches.length, bytes: this.batches.reduce((sum, { bytes }) => sum + bytes, 0) };
  }

  /** Gives the batch its sequence and has it on disk when it resolves. */
  add(body: Readonly<Record<string, unknown>>): Promise<BatchName> {
    return this.inTurn(async () => {
      const name: BatchName = { bootId: this.options.bootId, sequence: this.sequence + 1 };
      const text = JSON.stringify({ schema: 1, ...name, ...body });
      await this.makeRoom(text.length);
      await writeFileAtomic(this.pathOf(name), text);
      this.sequence = name.sequence;
      this.batches.push({ ...name, bytes: Buffer.byteLength(text) });
      return name;
    });
  }

  /** The batches after `after`, oldest first; all when it is undefined. */
  pending(after: BatchName | undefined, limit: number): BatchName[] {
    const start = after === undefined ? 0 : this.batches.findIndex((batch) => isAfter(batch, after));
    return start < 0 ? [] : this.batches.slice(start, start + limit);
  }

  /** @returns the message; undefined when it is no longer here, or damaged and hence dropped */
  read(name: BatchName): Promise<Readonly<Record<string, unknown>> | undefined> {
    return this.inTurn(async () => {
      if (!this.batches.some((batch) => sameBatch(batch, name))) return undefined;
      try {
        const body = JSON.parse(await readFile(this.pathOf(name), 'utf8')) as Record<string, unknown>;
        const droppedFrom = this.drops.get(name.bootId);
        return droppedFrom !== undefined && this.isFirstOfBoot(name) ? { ...body, droppedFrom } : body;
      } catch {
        await this.drop(name);
        return undefined;
      }
    });
  }

  /**
   * The control plane has stored everything of this boot up to there. When that is less than it said
   * before, as after a restored backup, what lies between went with the acknowledgement: it counts as
   * dropped, so that the rest is taken.
   */
  acknowledge(bootId: number, upTo: number): Promise<void> {
    return this.inTurn(async () => {
      await this.explainGap(bootId, upTo);
      const stored = this.batches.filter((batch) => batch.bootId === bootId && batch.sequence <= upTo);
      for (const batch of stored) await this.remove(batch);
      const from = this.drops.get(bootId);
      if (stored.length > 0 && from !== undefined && from <= upTo) {
        this.drops.delete(bootId);
        await this.writeDrops();
      }
    });
  }

  private async explainGap(bootId: number, upTo: number): Promise<void> {
    const first = this.batches.find((batch) => batch.bootId === bootId);
    if (first === undefined || first.sequence <= upTo + 1 || (this.drops.get(bootId) ?? Infinity) <= upTo + 1) return;
    this.drops.set(bootId, upTo + 1);
    await this.writeDrops();
  }

  private async makeRoom(bytes: number): Promise<void> {
    let dropped = 0;
    const first = this.batches[0];
    for (;;) {
      const oldest = this.batches[0];
      if (oldest === undefined || this.size.bytes + bytes <= this.options.maxBytes) break;
      await this.drop(oldest);
      dropped += 1;
    }
    if (first !== undefined && dropped > 0) this.options.onDropped(first, dropped);
  }

  /** What is dropped is on disk before the batch goes, so that no cut leaves an unexplained gap. */
  private async drop(name: BatchName): Promise<void> {
    if (!this.drops.has(name.bootId)) this.drops.set(name.bootId, name.sequence);
    await this.writeDrops();
    await this.remove(name);
  }

  private async remove(name: BatchName): Promise<void> {
    await rm(this.pathOf(name), { force: true });
    const index = this.batches.findIndex((batch) => sameBatch(batch, name));
    if (index >= 0) this.batches.splice(index, 1);
    // An earlier boot that has nothing left has no batch to say what it lost in.
    const gone = name.bootId !== this.options.bootId && !this.batches.some(({ bootId }) => bootId === name.bootId);
    if (gone && this.drops.delete(name.bootId)) await this.writeDrops();
  }

  private async writeDrops(): Promise<void> {
    await this.dropsFile.write(Object.fromEntries([...this.drops].map(([boot, from]) => [String(boot), from])));
  }

  private isFirstOfBoot(name: BatchName): boolean {
    return this.batches.find(({ bootId }) => bootId === name.bootId)?.sequence === name.sequence;
  }

  private pathOf({ bootId, sequence }: BatchName): string {
    const pad = (value: number): string => String(value).padStart(16, '0');
    return join(this.options.folder, `${pad(bootId)}-${pad(sequence)}.json`);
  }

  private inTurn<T>(task: () => Promise<T>): Promise<T> {
    const turn = this.queue.then(task);
    this.queue = turn.catch(() => undefined);
    return turn;
  }
}

function sameBatch(a: BatchName, b: BatchName): boolean {
  return a.bootId === b.bootId && a.sequence === b.sequence;
}

function isAfter(a: BatchName, b: BatchName): boolean {
  return a.bootId > b.bootId || (a.bootId === b.bootId && a.sequence > b.sequence);
}
