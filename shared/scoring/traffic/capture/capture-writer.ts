/**
 * Appends lines to hourly files below one folder, and keeps the folder within its size: the oldest files
 * go first. Nothing waits for it, and nothing fails by it: what cannot be written is dropped and counted.
 */
import { appendFile, mkdir, readdir, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';

/** A file is at most this part of the bound, so that removing one never removes most of what there is. */
const filesInBound = 8;

interface KeptFile {
  readonly path: string;
  readonly modifiedMs: number;
  bytes: number;
}

export class CaptureWriter {
  private kept: Promise<Map<string, KeptFile>> | undefined;
  private buffered = new Map<string, string[]>();
  private bufferedBytes = 0;
  private writing: Promise<void> = Promise.resolve();
  private droppedLines = 0;
  private readonly parts = new Map<string, number>();

  constructor(
    private readonly options: {
      readonly folder: string;
      /** The part of the folder that is ours, and that the bound is of. */
      readonly scope: string;
      readonly maxBytes: number;
      /** Names the files of this process. */
      readonly instance: string;
      readonly maxBufferedBytes: number;
    },
  ) {}

  get dropped(): number {
    return this.droppedLines;
  }

  drop(): void {
    this.droppedLines += 1;
  }

  /** @param folder relative; the line is written with the next flush */
  add(folder: string, line: string): void {
    const bytes = Buffer.byteLength(line);
    if (this.bufferedBytes + bytes > this.options.maxBufferedBytes) {
      this.drop();
      return;
    }
    this.bufferedBytes += bytes;
    const lines = this.buffered.get(folder);
    if (lines) lines.push(line);
    else this.buffered.set(folder, [line]);
  }

  /** Never rejects. */
  flush(): Promise<void> {
    this.writing = this.writing.then(async () => {
      const batches = this.buffered;
      const bytes = this.bufferedBytes;
      this.buffered = new Map();
      for (const [folder, lines] of batches) {
        try {
          await this.write(folder, lines);
        } catch {
          this.droppedLines += lines.length;
        }
      }
      this.bufferedBytes -= bytes;
    });
    return this.writing;
  }

  private async write(folder: string, lines: readonly string[]): Promise<void> {
    this.kept ??= filesBelow(join(this.options.folder, this.options.scope));
    const kept = await this.kept;
    const maxFileBytes = Math.floor(this.options.maxBytes / filesInBound);
    for (const line of lines) {
      const bytes = Buffer.byteLength(line);
      if (bytes > maxFileBytes) {
        this.drop();
        continue;
      }
      const path = this.fileFor(folder, bytes, maxFileBytes, kept);
      await this.makeRoom(bytes, kept);
      try {
        await mkdir(dirname(path), { recursive: true, mode: 0o700 });
        await appendFile(path, line, { mode: 0o600 });
      } catch {
        this.drop();
        continue;
      }
      const file = kept.get(path);
      if (file) file.bytes += bytes;
      else kept.set(path, { path, modifiedMs: Infinity, bytes });
    }
  }

  private fileFor(folder: string, bytes: number, maxFileBytes: number, kept: Map<string, KeptFile>): string {
    const part = this.parts.get(folder) ?? 0;
    const path = this.pathOf(folder, part);
    if ((kept.get(path)?.bytes ?? 0) + bytes <= maxFileBytes) return path;
    // The hours before are over.
    this.parts.clear();
    this.parts.set(folder, part + 1);
    return this.pathOf(folder, part + 1);
  }

  private pathOf(folder: string, part: number): string {
    const name = part === 0 ? this.options.instance : `${this.options.instance}-${String(part)}`;
    return join(this.options.folder, folder, `${name}.jsonl`);
  }

  /** Files that were there before us are older than all of ours; ours stand in the order of their making. */
  private async makeRoom(bytes: number, kept: Map<string, KeptFile>): Promise<void> {
    let total = 0;
    for (const file of kept.values()) total += file.bytes;
    for (const file of [...kept.values()]) {
      if (total + bytes <= this.options.maxBytes) return;
      await rm(file.path, { force: true });
      kept.delete(file.path);
      total -= file.bytes;
    }
  }
}

/** The oldest first. */
async function filesBelow(folder: string): Promise<Map<string, KeptFile>> {
  const names = await readdir(folder, { recursive: true }).catch(() => []);
  const files: KeptFile[] = [];
  for (const name of names.filter((one) => one.endsWith('.jsonl'))) {
    const path = join(folder, name);
    const found = await stat(path).catch(() => undefined);
    if (found?.isFile()) files.push({ path, modifiedMs: found.mtimeMs, bytes: found.size });
  }
  files.sort((a, b) => a.modifiedMs - b.modifiedMs);
  return new Map(files.map((file) => [file.path, file]));
}
