/** Batches of a simulated device, in memory: numbered when they come, kept until they are stored, the oldest dropped. */
import type { BatchName } from '#agent/telemetry/spool.js';
import type { BatchHolder } from '#agent/telemetry/stream-sender.js';

interface Kept {
  readonly sequence: number;
  readonly body: Readonly<Record<string, unknown>>;
}

const maxKept = 32;

export class MemorySpool implements BatchHolder {
  private kept: Kept[] = [];
  private last = 0;
  /** The first that was dropped and not told of yet. */
  private droppedFrom: number | undefined;
  /** Known to be stored. */
  stored = 0;

  constructor(private readonly bootId: number) {}

  get size(): { readonly batches: number; readonly bytes: number } {
    return { batches: this.kept.length, bytes: 0 };
  }

  add(body: Readonly<Record<string, unknown>>): void {
    this.last += 1;
    this.kept.push({ sequence: this.last, body });
    if (this.kept.length <= maxKept) return;
    const dropped = this.kept.shift();
    this.droppedFrom ??= dropped?.sequence;
  }

  pending(after: BatchName | undefined, limit: number): BatchName[] {
    const from = after?.bootId === this.bootId ? after.sequence : 0;
    return this.kept
      .filter(({ sequence }) => sequence > from)
      .slice(0, limit)
      .map(({ sequence }) => ({ bootId: this.bootId, sequence }));
  }

  read({ sequence }: BatchName): Promise<Readonly<Record<string, unknown>> | undefined> {
    const [first] = this.kept;
    const found = this.kept.find((one) => one.sequence === sequence);
    const gap = first === found && this.droppedFrom !== undefined ? { droppedFrom: this.droppedFrom } : {};
    return Promise.resolve(found && { schema: 1, bootId: this.bootId, sequence, ...gap, ...found.body });
  }

  acknowledge(bootId: number, upTo: number): Promise<void> {
    if (bootId !== this.bootId) return Promise.resolve();
    const before = this.kept.length;
    this.kept = this.kept.filter(({ sequence }) => sequence > upTo);
    this.stored += before - this.kept.length;
    if (this.droppedFrom !== undefined && this.droppedFrom <= upTo) this.droppedFrom = undefined;
    return Promise.resolve();
  }
}
