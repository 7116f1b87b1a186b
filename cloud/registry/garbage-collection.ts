/**
 * Removes blobs that no model and no image needs and that nobody uploaded or asked for within the grace
 * period. Safe beside uploads: each removal asks again, in the blob store's own turn.
 */
import { toInstant, type Clock } from '#shared/kernel/clock.js';
import type { Digest } from '#shared/protocol/primitives.js';
import type { BlobRepository } from '#cloud/store/blob-repository.js';
import type { BlobStore } from '#cloud/store/blob-store.js';

export interface Collected {
  /** Blobs that left the disk, or that would. */
  readonly blobs: number;
  readonly bytes: number;
}

export class GarbageCollection {
  constructor(
    private readonly store: BlobStore,
    private readonly blobs: BlobRepository,
    private readonly clock: Clock,
    private readonly graceMs: number,
  ) {}

  async run(mode: { readonly dryRun: boolean }): Promise<Collected> {
    const untilMs = this.clock.now() - this.graceMs;
    const until = toInstant(untilMs);
    const unused = await this.blobs.unusedGrants(until);
    if (!mode.dryRun) {
      for (const grant of unused) await this.blobs.revoke(grant.workspace, grant.digest, until);
    }
    const goingByDigest = countBy(unused.map((grant) => grant.digest));
    let count = 0;
    let bytes = 0;
    for await (const blob of this.store.list()) {
      if (blob.touchedAtMs > untilMs) continue;
      const gone = mode.dryRun
        ? (await this.blobs.countGrants(blob.digest)) === (goingByDigest.get(blob.digest) ?? 0)
        : await this.store.removeUnused(
            blob.digest,
            untilMs,
            async () => (await this.blobs.countGrants(blob.digest)) === 0,
          );
      if (!gone) continue;
      count++;
      bytes += blob.size;
    }
    return { blobs: count, bytes };
  }
}

function countBy(digests: readonly Digest[]): Map<Digest, number> {
  const counts = new Map<Digest, number>();
  for (const digest of digests) counts.set(digest, (counts.get(digest) ?? 0) + 1);
  return counts;
}
