/**
 * The workspace's storage as its callers see it: files by path that only grow. The local one is in `local-storage.ts`.
 */
import type { Readable } from 'node:stream';

/** Lines for the end of a file. */
export interface StoragePart {
  /** Relative, of `relativePathSchema`. */
  readonly path: string;
  /** Hours since 1970 that they are of. */
  readonly hour: number;
  readonly bytes: Uint8Array;
}

/** What belongs together: all of it is stored, once, or none. */
export interface StorageBatch {
  readonly workspace: string;
  /** Who it comes from: its batches are numbered. */
  readonly source: string;
  readonly sequence: number;
  /** Batches from this one to `sequence - 1` will never come. */
  readonly droppedFrom?: number | undefined;
  readonly parts: readonly StoragePart[];
}

/** `duplicate`: it was stored before; `gap`: one before it is missing, so that it was not. */
export type StorageOutcome = 'stored' | 'duplicate' | 'gap';

export interface StoredFile {
  readonly path: string;
  readonly bytes: number;
  readonly createdAt: string;
  readonly updatedAt: string;
}

export interface StorageRetention {
  /** Of one workspace. */
  readonly maxBytes: number;
  /** Files that nothing was added to since go. ISO 8601. */
  readonly before: string;
}

export interface StorageUse {
  readonly files: number;
  readonly bytes: number;
}

export interface WorkspaceStorage {
  /**
   * Durable when it resolves, in the order given; a kill at any point leaves a batch whole or out.
   *
   * @returns what became of each
   * @throws AppError `disk.*`: none was stored
   */
  append(batches: readonly StorageBatch[]): Promise<StorageOutcome[]>;
  /** The last sequence taken of a source; 0: none. */
  upTo(workspace: string, source: string): Promise<number>;
  /** A source that will not come again. */
  forget(workspace: string, sources: readonly string[]): Promise<void>;
  /** By path, after `after`. */
  list(workspace: string, prefix: string, limit: number, after?: string): Promise<StoredFile[]>;
  /** What is there now; more may come. @throws AppError `data.not-found` */
  read(workspace: string, path: string): Promise<StoredFile & { readonly open: () => Readable }>;
  /** Every file whose path begins so. */
  delete(workspace: string, prefix: string): Promise<StorageUse>;
  /** Lets files go that are too old, then those of the oldest hours where there is too much. */
  thin(retention: StorageRetention): Promise<StorageUse>;
  /** All of a workspace that is no more. */
  erase(workspace: string): Promise<void>;
  use(): Promise<StorageUse>;
}
