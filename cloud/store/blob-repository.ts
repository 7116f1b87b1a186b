/** Which workspace may read and reference which blob. The bytes themselves are the blob store's. */
import { sql } from 'kysely';
import type { Digest } from '#shared/protocol/primitives.js';
import type { ControlStore, ControlTransaction } from './control-database.js';

export class BlobRepository {
  constructor(private readonly db: ControlStore) {}

  /** The workspace has shown that it holds the bytes; asked for again, their grace period starts anew. */
  async grant(workspace: string, blob: { digest: Digest; size: number }, at: string): Promise<void> {
    await this.db
      .insertInto('blobs')
      .values({ workspace, digest: blob.digest, size: blob.size, createdAt: at })
      .onConflict((conflict) => conflict.columns(['workspace', 'digest']).doUpdateSet({ createdAt: at }))
      .execute();
  }

  /** The blob's size as this workspace sees it. */
  async find(workspace: string, digest: Digest): Promise<number | undefined> {
    const row = await this.db
      .selectFrom('blobs')
      .select('size')
      .where('workspace', '=', workspace)
      .where('digest', '=', digest)
      .executeTakeFirst();
    return row?.size;
  }

  /** Grants older than the instant that no model and no image of the workspace needs. */
  async unusedGrants(before: string): Promise<readonly { workspace: string; digest: Digest; size: number }[]> {
    return this.db
      .selectFrom('blobs')
      .select(['workspace', 'digest', 'size'])
      .where('createdAt', '<', before)
      .where(unreferenced)
      .execute();
  }

  /** Removes the grant unless something came to need it, or it was renewed, in the meantime. */
  async revoke(workspace: string, digest: Digest, before: string): Promise<boolean> {
    const result = await this.db
      .deleteFrom('blobs')
      .where('workspace', '=', workspace)
      .where('digest', '=', digest)
      .where('createdAt', '<', before)
      .where(unreferenced)
      .executeTakeFirst();
    return result.numDeletedRows > 0n;
  }

  /** How many workspaces see this blob. */
  async countGrants(digest: Digest): Promise<number> {
    const row = await this.db
      .selectFrom('blobs')
      .select((query) => query.fn.countAll<number>().as('count'))
      .where('digest', '=', digest)
      .executeTakeFirstOrThrow();
    return row.count;
  }
}

/** Asked inside the transaction that references blobs, so that garbage collection cannot come between. */
export async function missingBlobs(
  db: ControlTransaction,
  workspace: string,
  digests: readonly Digest[],
): Promise<readonly Digest[]> {
  const missing: Digest[] = [];
  for (const digest of new Set(digests)) {
    const row = await db
      .selectFrom('blobs')
      .select('digest')
      .where('workspace', '=', workspace)
      .where('digest', '=', digest)
      .executeTakeFirst();
    if (row === undefined) missing.push(digest);
  }
  return missing;
}

const unreferenced = sql<boolean>`
  not exists (select 1 from modelFiles f join models m using (workspace, name, version)
    where f.workspace = blobs.workspace and f.digest = blobs.digest and m.deletedAt is null)
  and not exists (select 1 from imageBlobs b join images i on i.workspace = b.workspace and i.digest = b.imageDigest
    where b.workspace = blobs.workspace and b.digest = blobs.digest and i.deletedAt is null)
  and not exists (select 1 from deployments d join imageBlobs b on b.workspace = d.workspace and b.imageDigest = d.imageDigest
    where d.workspace = blobs.workspace and b.digest = blobs.digest and d.removedGeneration is null)`;
