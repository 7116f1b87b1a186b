/**
 * The workspace's storage in the data folder. A row in the control database says how much of a file counts, and in the
 * same transaction up to where its sources were taken: bytes are written behind what counts and synced first, so that a
 * kill at any instant leaves bytes that do not count, which the next append or start cuts off. One change at a time.
 */
import type { Transaction } from 'kysely';
import { type Clock, toInstant } from '#shared/kernel/clock.js';
import { AppError } from '#shared/kernel/errors.js';
import { relativePathSchema } from '#shared/protocol/primitives.js';
import { judgeSequence } from '#shared/protocol/stream.js';
import type { ControlStore } from '#cloud/store/control-database.js';
import type { ControlDatabase } from '#cloud/store/tables.js';
import { TurnTaker } from '#cloud/store/turn-taker.js';
import { StorageFiles } from './storage-files.js';
import type {
  StorageBatch,
  StorageOutcome,
  StoragePart,
  StorageRetention,
  StorageUse,
  StoredFile,
  WorkspaceStorage,
} from './workspace-storage.js';

const columns = ['path', 'bytes', 'createdAt', 'updatedAt'] as const;
/** Above every character that a path may have. */
const above = '~';
const filesPerStep = 500;

interface Growing {
  readonly workspace: string;
  readonly path: string;
  readonly hour: number;
  readonly pieces: Uint8Array[];
}

export class LocalStorage implements WorkspaceStorage {
  private readonly turns = new TurnTaker();
  private readonly files: StorageFiles;

  private constructor(
    private readonly db: ControlStore,
    private readonly clock: Pick<Clock, 'now'>,
    folder: string,
  ) {
    this.files = new StorageFiles(folder);
  }

  /** Puts right what a kill left. @param folder made when something is stored */
  static async open(db: ControlStore, folder: string, clock: Pick<Clock, 'now'>): Promise<LocalStorage> {
    const storage = new LocalStorage(db, clock, folder);
    await storage.putRight();
    return storage;
  }

  append(batches: readonly StorageBatch[]): Promise<StorageOutcome[]> {
    return this.turns.run(async () => {
      const marks = new Map<string, { readonly workspace: string; readonly source: string; upTo: number }>();
      const growing = new Map<string, Growing>();
      const outcomes: StorageOutcome[] = [];
      for (const { workspace, source, sequence, droppedFrom, parts } of batches) {
        const key = `${workspace}/${source}`;
        const mark = marks.get(key) ?? { workspace, source, upTo: await this.upTo(workspace, source) };
        marks.set(key, mark);
        const judged = judgeSequence({ sequence, droppedFrom }, mark.upTo);
        outcomes.push(judged === 'store' ? 'stored' : judged);
        if (judged !== 'store') continue;
        mark.upTo = sequence;
        for (const part of parts) addTo(growing, workspace, part);
      }
      if (outcomes.includes('stored')) await this.write([...growing.values()], [...marks.values()]);
      return outcomes;
    });
  }

  async upTo(workspace: string, source: string): Promise<number> {
    const row = await this.db
      .selectFrom('storageMarks')
      .select('upTo')
      .where('workspace', '=', workspace)
      .where('source', '=', source)
      .executeTakeFirst();
    return row?.upTo ?? 0;
  }

  async forget(workspace: string, sources: readonly string[]): Promise<void> {
    if (sources.length === 0) return;
    await this.db
      .deleteFrom('storageMarks')
      .where('workspace', '=', workspace)
      .where('source', 'in', [...sources])
      .execute();
  }

  async list(workspace: string, prefix: string, limit: number, after?: string): Promise<StoredFile[]> {
    let query = this.below(workspace, prefix).select(columns).orderBy('path').limit(limit);
    if (after !== undefined) query = query.where('path', '>', after);
    return query.execute();
  }

  async read(workspace: string, path: string): ReturnType<WorkspaceStorage['read']> {
    const row = relativePathSchema.safeParse(path).success
      ? await this.db
          .selectFrom('storageFiles')
          .select(columns)
          .where('workspace', '=', workspace)
          .where('path', '=', path)
          .executeTakeFirst()
      : undefined;
    // A file that somebody took away holds nothing.
    const bytes = row === undefined ? 0 : Math.min(row.bytes, await this.files.size(workspace, path));
    if (row === undefined || bytes === 0) {
      throw new AppError(
        'data.not-found',
        `the storage has no file ${path.slice(0, 300)}: flotilla data list shows those there are`,
      );
    }
    return { ...row, bytes, open: () => this.files.read(workspace, path, bytes) };
  }

  delete(workspace: string, prefix: string): Promise<StorageUse> {
    return this.turns.run(async () => {
      let gone = { files: 0, bytes: 0 };
      for (;;) {
        const found = await this.list(workspace, prefix, filesPerStep);
        gone = sumOf(gone, await this.remove(workspace, found));
        if (found.length < filesPerStep) return gone;
      }
    });
  }

  thin({ maxBytes, before }: StorageRetention): Promise<StorageUse> {
    return this.turns.run(async () => {
      let gone = { files: 0, bytes: 0 };
      for (const { workspace } of await this.db.selectFrom('storageFiles').select('workspace').distinct().execute()) {
        const old = await this.below(workspace, '').select(columns).where('updatedAt', '<', before).execute();
        gone = sumOf(gone, await this.remove(workspace, old));
        let over = (await this.used(workspace)).bytes - maxBytes;
        while (over > 0) {
          const oldest = await this.below(workspace, '')
            .select(columns)
            .orderBy('hour')
            .orderBy('path')
            .limit(20)
            .execute();
          const going: StoredFile[] = [];
          for (const file of oldest) {
            if (over <= 0) break;
            over -= file.bytes;
            going.push(file);
          }
          if (going.length === 0) break;
          gone = sumOf(gone, await this.remove(workspace, going));
        }
      }
      // What the service host let go of long ago never comes again.
      await this.db
        .deleteFrom('storageMarks')
        .where('source', '>=', 'service/')
        .where('source', '<', 'service0')
        .where('updatedAt', '<', before)
        .execute();
      return gone;
    });
  }

  erase(workspace: string): Promise<void> {
    return this.turns.run(async () => {
      await this.db.deleteFrom('storageFiles').where('workspace', '=', workspace).execute();
      await this.db.deleteFrom('storageMarks').where('workspace', '=', workspace).execute();
      await this.files.removeWorkspace(workspace);
    });
  }

  use(): Promise<StorageUse> {
    return this.used(undefined);
  }

  /** Bytes first, then the word that they count. */
  private async write(
    growing: readonly Growing[],
    marks: readonly { readonly workspace: string; readonly source: string; readonly upTo: number }[],
  ): Promise<void> {
    const grown: { file: Growing; bytes: number }[] = [];
    for (const file of growing) {
      const row = await this.db
        .selectFrom('storageFiles')
        .select('bytes')
        .where('workspace', '=', file.workspace)
        .where('path', '=', file.path)
        .executeTakeFirst();
      grown.push({ file, bytes: await this.files.append(file.workspace, file.path, row?.bytes ?? 0, file.pieces) });
    }
    const at = toInstant(this.clock.now());
    await this.db.transaction().execute(async (transaction) => {
      for (const { file, bytes } of grown) await keepFile(transaction, file, bytes, at);
      for (const mark of marks) await keepMark(transaction, { ...mark, updatedAt: at });
    });
  }

  /** Rows first: a file without one does not count, and the next start removes it. */
  private async remove(workspace: string, files: readonly StoredFile[]): Promise<StorageUse> {
    if (files.length === 0) return { files: 0, bytes: 0 };
    for (let at = 0; at < files.length; at += filesPerStep) {
      const paths = files.slice(at, at + filesPerStep).map(({ path }) => path);
      await this.db.deleteFrom('storageFiles').where('workspace', '=', workspace).where('path', 'in', paths).execute();
      for (const path of paths) await this.files.remove(workspace, path);
    }
    return { files: files.length, bytes: files.reduce((sum, { bytes }) => sum + bytes, 0) };
  }

  private below(workspace: string, prefix: string) {
    return this.db
      .selectFrom('storageFiles')
      .where('workspace', '=', workspace)
      .where('path', '>=', prefix)
      .where('path', '<', prefix + above);
  }

  private async used(workspace: string | undefined): Promise<StorageUse> {
    let query = this.db
      .selectFrom('storageFiles')
      .select((of) => [of.fn.countAll<number>().as('files'), of.fn.sum<number | null>('bytes').as('bytes')]);
    if (workspace !== undefined) query = query.where('workspace', '=', workspace);
    const { files, bytes } = await query.executeTakeFirstOrThrow();
    return { files, bytes: bytes ?? 0 };
  }

  private async putRight(): Promise<void> {
    const rows = await this.db.selectFrom('storageFiles').select(['workspace', 'path', 'bytes']).execute();
    const counting = new Map(rows.map((row) => [`${row.workspace}/${row.path}`, row.bytes]));
    for (const { workspace, path } of await this.files.all()) {
      const bytes = counting.get(`${workspace}/${path}`);
      if (bytes === undefined) await this.files.remove(workspace, path);
      else if ((await this.files.size(workspace, path)) > bytes) await this.files.cut(workspace, path, bytes);
    }
  }
}

function addTo(growing: Map<string, Growing>, workspace: string, { path, hour, bytes }: StoragePart): void {
  const key = `${workspace}/${path}`;
  const file = growing.get(key) ?? { workspace, path, hour, pieces: [] };
  file.pieces.push(bytes);
  growing.set(key, file);
}

async function keepFile(
  transaction: Transaction<ControlDatabase>,
  { workspace, path, hour }: Growing,
  bytes: number,
  at: string,
): Promise<void> {
  await transaction
    .insertInto('storageFiles')
    .values({ workspace, path, hour, bytes, createdAt: at, updatedAt: at })
    .onConflict((conflict) => conflict.columns(['workspace', 'path']).doUpdateSet({ bytes, updatedAt: at }))
    .execute();
}

async function keepMark(
  transaction: Transaction<ControlDatabase>,
  mark: { readonly workspace: string; readonly source: string; readonly upTo: number; readonly updatedAt: string },
): Promise<void> {
  const { upTo, updatedAt } = mark;
  await transaction
    .insertInto('storageMarks')
    .values(mark)
    .onConflict((conflict) => conflict.columns(['workspace', 'source']).doUpdateSet({ upTo, updatedAt }))
    .execute();
}

function sumOf(a: StorageUse, b: StorageUse): StorageUse {
  return { files: a.files + b.files, bytes: a.bytes + b.bytes };
}
