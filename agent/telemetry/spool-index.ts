/** What a spool holds, in memory: its files oldest first, with their batches. */
import { type BatchName, diskBytesOf, type SpooledBatch, type SpoolFile } from '#agent/telemetry/spool-folder.js';

export class SpoolIndex {
  private batchCount: number;
  private diskBytes: number;

  constructor(private readonly list: SpoolFile[]) {
    this.batchCount = list.reduce((sum, file) => sum + file.batches.length, 0);
    this.diskBytes = list.reduce((sum, file) => sum + diskBytesOf(file), 0);
  }

  get batches(): number {
    return this.batchCount;
  }

  get bytes(): number {
    return this.diskBytes;
  }

  get files(): readonly SpoolFile[] {
    return this.list;
  }

  insert(file: SpoolFile): void {
    const [first] = file.batches;
    const at = first === undefined ? -1 : this.list.findIndex((other) => isAfter(other.batches[0] ?? first, first));
    this.list.splice(at < 0 ? this.list.length : at, 0, file);
    this.batchCount += file.batches.length;
    this.diskBytes += diskBytesOf(file);
  }

  forget(file: SpoolFile): void {
    const at = this.list.indexOf(file);
    if (at < 0) return;
    this.list.splice(at, 1);
    this.batchCount -= file.batches.length;
    this.diskBytes -= diskBytesOf(file);
  }

  append(file: SpoolFile, batch: SpooledBatch): void {
    file.batches.push(batch);
    this.batchCount += 1;
  }

  resize(file: SpoolFile, bytes: number): void {
    if (!this.list.includes(file)) return;
    this.diskBytes -= diskBytesOf(file);
    file.bytes = bytes;
    this.diskBytes += diskBytesOf(file);
  }

  /** Batches that are no longer wanted; their files stay. @returns how many */
  strike(file: SpoolFile, isGone: (batch: SpooledBatch) => boolean): number {
    const left = file.batches.filter((batch) => !isGone(batch));
    const gone = file.batches.length - left.length;
    if (gone > 0) file.batches = left;
    this.batchCount -= gone;
    return gone;
  }

  after(name: BatchName | undefined, limit: number): BatchName[] {
    const found: BatchName[] = [];
    for (const { batches } of this.list) {
      const last = batches.at(-1);
      if (last === undefined || (name !== undefined && !isAfter(last, name))) continue;
      for (const batch of batches) {
        if (name !== undefined && !isAfter(batch, name)) continue;
        if (found.push({ bootId: batch.bootId, sequence: batch.sequence }) >= limit) return found;
      }
    }
    return found;
  }

  find(name: BatchName): { readonly file: SpoolFile; readonly batch: SpooledBatch } | undefined {
    for (const file of this.list) {
      const last = file.batches.at(-1);
      if (file.bootId !== name.bootId || last === undefined || last.sequence < name.sequence) continue;
      const batch = file.batches.find(({ sequence }) => sequence === name.sequence);
      return batch && { file, batch };
    }
    return undefined;
  }

  /** The last sequence of its boot that is here before it; 0 when there is none. */
  before({ bootId, sequence }: BatchName): number {
    let last = 0;
    for (const { bootId: boot, batches } of this.list) {
      const [first] = batches;
      if (boot !== bootId || first === undefined || first.sequence >= sequence) continue;
      last = batches.findLast((batch) => batch.sequence < sequence)?.sequence ?? last;
    }
    return last;
  }

  isLastOfBoot(name: BatchName): boolean {
    return !this.list.some(
      ({ bootId, batches }) => bootId === name.bootId && batches.some((other) => isAfter(other, name)),
    );
  }
}

function isAfter(a: BatchName, b: BatchName): boolean {
  return a.bootId > b.bootId || (a.bootId === b.bootId && a.sequence > b.sequence);
}
