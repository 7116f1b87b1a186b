/** The files of a spool: what lies there after whatever happened, and how it is called. */
import { open, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type DropReason, dropReasonSchema } from '#shared/protocol/stream.js';
import { type BatchLine, decodeMessageLine, scanLines } from '#agent/telemetry/spool-lines.js';

export interface BatchName {
  readonly bootId: number;
  readonly sequence: number;
}

export interface SpooledBatch extends BatchName, BatchLine {
  /** First sequence that it stands for: its own, but for what was dropped. */
  readonly from: number;
  /** Of what was dropped. */
  readonly reason?: DropReason;
}

/** A file with batches of one boot in rising order. Never written to again once another one was begun. */
export interface SpoolFile {
  readonly bootId: number;
  readonly path: string;
  bytes: number;
  batches: SpooledBatch[];
}

const pattern = /^(\d{16})-(\d{16})\.(batches|dropped)$/;
/** What a file takes on disk, at the least. */
const blockBytes = 4096;

export function spoolFilePath(folder: string, name: BatchName, kind: 'batches' | 'dropped'): string {
  const pad = (value: number): string => String(value).padStart(16, '0');
  return join(folder, `${pad(name.bootId)}-${pad(name.sequence)}.${kind}`);
}

/** The boot that a file of a spool is of. */
export function spooledBootOf(fileName: string): number | undefined {
  const boot = pattern.exec(fileName)?.[1];
  return boot === undefined ? undefined : Number(boot);
}

export function diskBytesOf({ bytes }: Pick<SpoolFile, 'bytes'>): number {
  return Math.max(1, Math.ceil(bytes / blockBytes)) * blockBytes;
}

/**
 * Reads all that is there, oldest first. What is damaged is left out, what was cut off in its making is
 * cleared away, and what is said to be dropped is not there, though a cut may have kept its bytes.
 */
export async function readSpoolFolder(folder: string): Promise<SpoolFile[]> {
  const files: SpoolFile[] = [];
  const acknowledged = new Map<number, number>();
  const dropped: SpooledBatch[] = [];
  for (const name of (await readdir(folder)).sort()) {
    const path = join(folder, name);
    const bootId = spooledBootOf(name);
    if (bootId === undefined) {
      if (name.endsWith('.new')) await rm(path, { force: true });
      continue;
    }
    const bytes = await readFile(path);
    const file: SpoolFile = { bootId, path, bytes: bytes.length, batches: [] };
    for (const line of scanLines(bytes)) {
      if (line.kind === 'ack') {
        acknowledged.set(line.bootId, Math.max(line.upTo, acknowledged.get(line.bootId) ?? 0));
        continue;
      }
      const batch = { ...line, bootId, ...(line.kind === 'dropped' ? rangeOf(bytes, line) : { from: line.sequence }) };
      if (line.kind === 'dropped') dropped.push(batch);
      // A write whose failure was only told, and the one in its place: the later one counts.
      file.batches = [...file.batches.filter(({ sequence }) => sequence < line.sequence), batch];
    }
    files.push(file);
  }
  const isGone = (batch: SpooledBatch): boolean =>
    batch.sequence <= (acknowledged.get(batch.bootId) ?? 0) ||
    dropped.some((other) => other !== batch && other.bootId === batch.bootId && covers(other, batch));
  const kept: SpoolFile[] = [];
  for (const [index, file] of files.entries()) {
    const later = files[index + 1];
    const before = later?.bootId === file.bootId ? (later.batches[0]?.from ?? Infinity) : Infinity;
    file.batches = file.batches.filter((batch) => !isGone(batch) && batch.sequence < before);
    if (file.batches.length > 0) kept.push(file);
    else await rm(file.path, { force: true });
  }
  return kept;
}

function covers(dropped: SpooledBatch, batch: SpooledBatch): boolean {
  return dropped.from <= batch.from && batch.sequence <= dropped.sequence;
}

function rangeOf(bytes: Uint8Array, { offset, length, sequence }: BatchLine): { from: number; reason?: DropReason } {
  const { droppedFrom, dropReason } = decodeMessageLine(bytes.subarray(offset, offset + length)) ?? {};
  const reason = dropReasonSchema.safeParse(dropReason);
  return {
    from: typeof droppedFrom === 'number' && droppedFrom <= sequence ? droppedFrom : sequence,
    ...(reason.success ? { reason: reason.data } : {}),
  };
}

/** At least one byte, which a damaged line may be. */
export async function readPart(path: string, offset: number, length: number): Promise<Uint8Array> {
  const file = await open(path, 'r');
  try {
    const bytes = new Uint8Array(length);
    const { bytesRead } = await file.read(bytes, 0, length, offset);
    return bytes.subarray(0, Math.max(1, bytesRead));
  } finally {
    await file.close();
  }
}
