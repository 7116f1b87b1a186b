/**
 * The owner's end of a folder of pieces: which are finished, oldest first, and how much room they take. One whose writer
 * was killed is finished when nothing was added to it for a while, as this process saw it.
 */
import { mkdir, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '#shared/kernel/clock.js';
import { diskError, errno, writeFileAtomic } from '#shared/platform/atomic-file.js';
import type { CollectRules } from '#shared/protocol/collect.js';
import { pieceFileOf, type PieceName, readPieceFile } from './piece-name.js';

export interface Piece extends PieceName {
  /** Of the file, which names it. */
  readonly file: string;
  readonly bytes: number;
}

export const rulesFile = 'rules.json';
/** Far beyond what a writer that lives leaves one open. */
const abandonedAfterMs = 30_000;

export class PieceFolder {
  /** Of open ones: how large they were when last something was added. */
  private readonly seen = new Map<string, { readonly bytes: number; readonly sinceMs: number }>();

  constructor(
    readonly path: string,
    private readonly clock: Pick<Clock, 'monotonic'>,
  ) {}

  /** @throws AppError `disk.*` */
  async prepare(): Promise<void> {
    await mkdir(this.path, { recursive: true, mode: 0o700 }).catch((error: unknown) => {
      throw diskError(error, `cannot make ${this.path}`);
    });
  }

  /** Writers go by it within seconds. */
  async writeRules(rules: CollectRules): Promise<void> {
    await writeFileAtomic(join(this.path, rulesFile), JSON.stringify(rules), { mode: 0o600 });
  }

  /** Oldest first. */
  async finished(): Promise<Piece[]> {
    const pieces: Piece[] = [];
    const open = new Set<string>();
    for (const file of await this.files()) {
      const name = readPieceFile(file);
      if (name === undefined) continue;
      const found = await stat(join(this.path, file)).catch(() => undefined);
      // It was finished in this moment, and is found next time.
      if (found?.isFile() !== true) continue;
      if (!name.open) pieces.push({ ...name, file, bytes: found.size });
      else if (this.isAbandoned(file, found.size)) await this.adopt(file, name);
      else open.add(file);
    }
    for (const file of this.seen.keys()) if (!open.has(file)) this.seen.delete(file);
    return pieces.sort((a, b) => (a.file < b.file ? -1 : 1));
  }

  /** Undefined: it is gone. */
  async read({ file }: Piece): Promise<Buffer | undefined> {
    try {
      return await readFile(join(this.path, file));
    } catch (error) {
      if (errno(error) === 'ENOENT') return undefined;
      throw diskError(error, `cannot read ${join(this.path, file)}`);
    }
  }

  async remove({ file }: Pick<Piece, 'file'>): Promise<void> {
    await rm(join(this.path, file), { force: true });
  }

  /** Lets the oldest go until the rest has room. @returns those that went */
  async bound(pieces: readonly Piece[], maxBytes: number): Promise<Piece[]> {
    let total = pieces.reduce((sum, { bytes }) => sum + bytes, 0);
    const gone: Piece[] = [];
    for (const piece of pieces) {
      if (total <= maxBytes) break;
      await this.remove(piece);
      total -= piece.bytes;
      gone.push(piece);
    }
    return gone;
  }

  private async files(): Promise<string[]> {
    try {
      return await readdir(this.path);
    } catch (error) {
      if (errno(error) === 'ENOENT') return [];
      throw diskError(error, `cannot read ${this.path}`);
    }
  }

  private isAbandoned(file: string, bytes: number): boolean {
    const now = this.clock.monotonic();
    const before = this.seen.get(file);
    if (before?.bytes === bytes) return now - before.sinceMs >= abandonedAfterMs;
    this.seen.set(file, { bytes, sinceMs: now });
    return false;
  }

  private async adopt(file: string, name: PieceName): Promise<void> {
    await rename(join(this.path, file), join(this.path, pieceFileOf(name))).catch(() => undefined);
  }
}

/** Every line that is whole, of what a writer left, whatever happened to it. */
export function wholeLines(bytes: Uint8Array): string[] {
  const lines = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('utf8').split('\n');
  // After the last end there is nothing, or a line that was cut off.
  lines.pop();
  return lines.filter((line) => isObjectText(line));
}

function isObjectText(line: string): boolean {
  if (!line.startsWith('{')) return false;
  try {
    return typeof JSON.parse(line) === 'object';
  } catch {
    return false;
  }
}
