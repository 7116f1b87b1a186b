/**
 * One control plane per data folder, and one service host per folder of its own. The lock is an open transaction on a file of its own, so the system
 * releases it whatever way the process ends; nothing stale can stay behind.
 */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import Database from 'libsql';
import { AppError, messageOf } from '#shared/kernel/errors.js';
import { diskError } from '#shared/platform/atomic-file.js';
import { storeError } from './sqlite.js';

export interface DataFolderLock {
  release(): void;
}

/** @throws AppError `already.running` */
export function lockDataFolder(folder: string): Promise<DataFolderLock> {
  return lockFolder(
    folder,
    `another control plane uses ${folder}: stop it, or set dataDir (--data-dir) to another folder`,
  );
}

/**
 * @param taken what to say when another process has it
 * @throws AppError `already.running`
 */
export async function lockFolder(folder: string, taken: string): Promise<DataFolderLock> {
  try {
    // Keys and databases lie in it.
    await mkdir(folder, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw diskError(error, `cannot make the folder ${folder}`);
  }
  const path = join(folder, 'lock.db');
  let database: Database.Database | undefined;
  try {
    database = new Database(path, { timeout: 0 });
    database.exec('begin exclusive');
    const held = database;
    return { release: () => held.close() };
  } catch (error) {
    database?.close();
    if (error instanceof Error && 'code' in error && error.code === 'SQLITE_BUSY') {
      throw new AppError('already.running', taken, { cause: error });
    }
    throw (
      storeError(error) ?? new AppError('disk.failed', `cannot lock ${path}: ${messageOf(error)}`, { cause: error })
    );
  }
}
