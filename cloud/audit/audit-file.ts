/** A copy of the control database, verified without a control plane. The file itself is not opened: it is evidence. */
import { copyFile, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { Kysely, SqliteDialect } from 'kysely';
import Database from 'libsql';
import { AppError, messageOf } from '#shared/kernel/errors.js';
import { errno } from '#shared/platform/atomic-file.js';
import type { ControlDatabase } from '#cloud/store/tables.js';
import type { ChainPoint } from './audit-chain.js';
import { AuditReader, type AuditVerdict, verifyAudit } from './audit-reader.js';

/** @throws AppError `request.invalid` when the file is no control database */
export async function verifyAuditFile(path: string, noted?: ChainPoint): Promise<AuditVerdict> {
  const folder = await mkdtemp(join(tmpdir(), 'flotilla-audit-'));
  try {
    const copy = join(folder, basename(path));
    await copyFile(path, copy);
    // What was committed last may stand in the log beside it.
    await copyFile(`${path}-wal`, `${copy}-wal`).catch((error: unknown) => {
      if (errno(error) !== 'ENOENT') throw error;
    });
    const db = new Kysely<ControlDatabase>({ dialect: new SqliteDialect({ database: new Database(copy) }) });
    try {
      const reader = new AuditReader(db);
      const after = (cursor: number, limit: number): ReturnType<AuditReader['page']> =>
        reader.page({ workspace: null, order: 'oldest', cursor, limit });
      return await verifyAudit(await reader.ends(), after, noted);
    } finally {
      await db.destroy();
    }
  } catch (error) {
    throw new AppError('request.invalid', `${path} cannot be read as a control database: ${messageOf(error)}`, {
      cause: error,
    });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
